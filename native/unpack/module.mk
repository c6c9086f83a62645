# warden-unpack, which turns foreign archives and layers into trees, out of reach of everything else: one static binary.
UNPACK_SOURCES := $(wildcard unpack/*.c)
UNPACK_HEADERS := $(wildcard unpack/*.h) include/result_field.h

ALL += $(OUT)/warden-unpack
PROGRAMS += $(OUT)/warden-unpack

# Its filter of system calls knows none of what the address sanitizer needs; the unit test below has that one.
$(OUT)/warden-unpack: $(UNPACK_SOURCES) $(SANITIZE_SOURCES) $(UNPACK_HEADERS) unpack/module.mk Makefile
	@mkdir -p $(@D)
	$(PROGRAM_CC) $(CPPFLAGS) $(FAST_CFLAGS) $(SANITIZE_FLAGS) $(CFLAGS) $(UNPACK_SOURCES) $(SANITIZE_SOURCES) -o $@ $(FAST_LDFLAGS) $(LDFLAGS)

$(BUILD)/test/unpack_tar_test: test/unpack_tar_test.c unpack/tar.c unpack/failure.c $(UNPACK_HEADERS)
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) -Iunpack $(TEST_CFLAGS) -o $@ $(filter %.c,$^)

TESTS += $(BUILD)/test/unpack_tar_test
