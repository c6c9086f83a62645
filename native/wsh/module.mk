# wsh, the operator's shell into a container: one static binary.
WSH_SOURCES := $(wildcard wsh/*.c)
WSH_OBJECTS := $(WSH_SOURCES:wsh/%.c=$(BUILD)/wsh/%.o)

ALL += $(OUT)/wsh
PROGRAMS += $(OUT)/wsh

$(OUT)/wsh: $(WSH_OBJECTS) $(SANITIZE_SOURCES)
	@mkdir -p $(@D)
	$(PROGRAM_CC) $(PROGRAM_CFLAGS) $(SANITIZE_FLAGS) $(CFLAGS) $^ -o $@ $(PROGRAM_LDFLAGS) $(LDFLAGS)

$(BUILD)/wsh/%.o: wsh/%.c $(wildcard wsh/*.h) include/wshd_protocol.h wsh/module.mk Makefile
	@mkdir -p $(@D)
	$(PROGRAM_CC) $(CPPFLAGS) $(PROGRAM_CFLAGS) $(CFLAGS) -c $< -o $@

TESTS += $(BUILD)/test/wsh_test

$(BUILD)/test/wsh_test: test/wsh_test.c wsh/options.c wsh/message.c wsh/limits.c $(wildcard wsh/*.h) include/wshd_protocol.h
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) -Iwsh $(TEST_CFLAGS) $(filter %.c,$^) -o $@
