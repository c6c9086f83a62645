# warden-unpack, which turns foreign archives and layers into trees, out of reach of everything else: one static binary.
UNPACK_SOURCES := $(wildcard unpack/*.c)
UNPACK_HEADERS := $(wildcard unpack/*.h)

ALL += $(OUT)/warden-unpack
PROGRAMS += $(OUT)/warden-unpack

# Its filter of system calls knows none of what the address sanitizer needs; the unit test below has that one.
ifdef SANITIZE
UNPACK_CFLAGS := $(WARNINGS) -D_GNU_SOURCE -g -O1 -fno-omit-frame-pointer -fsanitize=undefined -fno-sanitize-recover=all
UNPACK_LDFLAGS := -static -fsanitize=undefined
else
UNPACK_CFLAGS := $(PROGRAM_CFLAGS) -O2
UNPACK_LDFLAGS := $(PROGRAM_LDFLAGS)
endif

$(OUT)/warden-unpack: $(UNPACK_SOURCES) $(SANITIZE_SOURCES) $(UNPACK_HEADERS) unpack/module.mk Makefile
	@mkdir -p $(@D)
	$(PROGRAM_CC) $(CPPFLAGS) $(UNPACK_CFLAGS) $(SANITIZE_FLAGS) $(CFLAGS) $(UNPACK_SOURCES) $(SANITIZE_SOURCES) -o $@ $(UNPACK_LDFLAGS) $(LDFLAGS)

$(BUILD)/test/unpack_tar_test: test/unpack_tar_test.c unpack/tar.c unpack/failure.c $(UNPACK_HEADERS)
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) -Iunpack $(TEST_CFLAGS) -o $@ $(filter %.c,$^)

TESTS += $(BUILD)/test/unpack_tar_test
