# warden-copy, both roles of a copy between host and container: one static binary.
COPY_SOURCES := $(wildcard copy/*.c)
COPY_HEADERS := $(wildcard copy/*.h)

ALL += $(OUT)/warden-copy
PROGRAMS += $(OUT)/warden-copy

$(OUT)/warden-copy: $(COPY_SOURCES) $(COPY_HEADERS) copy/module.mk Makefile
	@mkdir -p $(@D)
	$(PROGRAM_CC) $(CPPFLAGS) $(PROGRAM_CFLAGS) -O2 $(CFLAGS) $(COPY_SOURCES) -o $@ $(PROGRAM_LDFLAGS) $(LDFLAGS)

# The test drives both roles as processes; with the sanitizers in them.
$(BUILD)/test/warden-copy: $(COPY_SOURCES) $(COPY_HEADERS) copy/module.mk Makefile
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(TEST_CFLAGS) $(COPY_SOURCES) -o $@

export WARDEN_COPY := $(BUILD)/test/warden-copy
TESTS += test/copy_test.sh
test/copy_test.sh: $(BUILD)/test/warden-copy
