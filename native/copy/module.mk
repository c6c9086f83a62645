# warden-copy, both roles of a copy between host and container: one static binary.
COPY_SOURCES := $(wildcard copy/*.c)
COPY_HEADERS := $(wildcard copy/*.h)

ALL += $(OUT)/warden-copy
PROGRAMS += $(OUT)/warden-copy

# It runs in roots that have no dynamic linker, so the address sanitizer, which needs one, has its turn in the test below.
ifdef SANITIZE
COPY_CFLAGS := $(WARNINGS) -D_GNU_SOURCE -g -O1 -fno-omit-frame-pointer -fsanitize=undefined -fno-sanitize-recover=all
COPY_LDFLAGS := -static -fsanitize=undefined
else
COPY_CFLAGS := $(PROGRAM_CFLAGS) -O2
COPY_LDFLAGS := $(PROGRAM_LDFLAGS)
endif

$(OUT)/warden-copy: $(COPY_SOURCES) $(SANITIZE_SOURCES) $(COPY_HEADERS) copy/module.mk Makefile
	@mkdir -p $(@D)
	$(PROGRAM_CC) $(CPPFLAGS) $(COPY_CFLAGS) $(SANITIZE_FLAGS) $(CFLAGS) $(COPY_SOURCES) $(SANITIZE_SOURCES) -o $@ $(COPY_LDFLAGS) $(LDFLAGS)

# The test drives both roles as processes; with the sanitizers in them.
$(BUILD)/test/warden-copy: $(COPY_SOURCES) $(COPY_HEADERS) copy/module.mk Makefile
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(TEST_CFLAGS) $(COPY_SOURCES) -o $@

export WARDEN_COPY := $(BUILD)/test/warden-copy
TESTS += test/copy_test.sh
test/copy_test.sh: $(BUILD)/test/warden-copy
