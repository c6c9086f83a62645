# The shared library that the daemon loads into Node: libc only, flat C functions, errors as -errno.
LIBRARY_SOURCES := $(wildcard lib/*.c)
LIBRARY_OBJECTS := $(LIBRARY_SOURCES:lib/%.c=$(BUILD)/lib/%.o)
LIBRARY_FILE := $(OUT)/libwarden_native.so

LIBRARY += $(LIBRARY_FILE)
ALL += $(LIBRARY_FILE)

$(LIBRARY_FILE): $(LIBRARY_OBJECTS)
	@mkdir -p $(@D)
	$(CC) $(LIBRARY_CFLAGS) $(CFLAGS) $^ -o $@ $(LIBRARY_LDFLAGS) $(LDFLAGS) -pthread

$(BUILD)/lib/%.o: lib/%.c $(wildcard lib/*.h) lib/module.mk Makefile
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(LIBRARY_CFLAGS) $(CFLAGS) -c $< -o $@

# The tests link the sources themselves, so that the sanitizers see inside the library.
LIBRARY_TESTS := $(patsubst test/%.c,$(BUILD)/test/%,$(wildcard test/library_*_test.c))
TESTS += $(LIBRARY_TESTS)

$(LIBRARY_TESTS): $(BUILD)/test/%: test/%.c $(LIBRARY_SOURCES) $(wildcard lib/*.h test/*.h)
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) -Ilib -Itest $(TEST_CFLAGS) $< $(LIBRARY_SOURCES) -o $@ -pthread
