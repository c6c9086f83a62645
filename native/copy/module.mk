# warden-copy, both roles of a copy between host and container: one static binary.
COPY_SOURCES := $(wildcard copy/*.c)
COPY_HEADERS := $(wildcard copy/*.h) include/result_field.h

ALL += $(OUT)/warden-copy
PROGRAMS += $(OUT)/warden-copy

# It runs in roots that have no dynamic linker, so the address sanitizer, which needs one, has its turn in the test below.
$(OUT)/warden-copy: $(COPY_SOURCES) $(SANITIZE_SOURCES) $(COPY_HEADERS) copy/module.mk Makefile
	@mkdir -p $(@D)
	$(PROGRAM_CC) $(CPPFLAGS) $(FAST_CFLAGS) $(SANITIZE_FLAGS) $(CFLAGS) $(COPY_SOURCES) $(SANITIZE_SOURCES) -o $@ $(FAST_LDFLAGS) $(LDFLAGS)

# The test drives both roles as processes; with the sanitizers in them.
$(BUILD)/test/warden-copy: $(COPY_SOURCES) $(COPY_HEADERS) copy/module.mk Makefile
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(TEST_CFLAGS) $(COPY_SOURCES) -o $@

export WARDEN_COPY := $(BUILD)/test/warden-copy
TESTS += test/copy_test.sh
test/copy_test.sh: $(BUILD)/test/warden-copy
