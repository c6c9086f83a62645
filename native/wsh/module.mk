# wsh, the operator's shell into a container: one static binary.
WSH_SOURCES := $(wildcard wsh/*.c)
WSH_OBJECTS := $(WSH_SOURCES:wsh/%.c=$(BUILD)/wsh/%.o)

ALL += $(OUT)/wsh
PROGRAMS += $(OUT)/wsh

# A sanitized one is started by a test whose Node has the runtime preloaded, and so must not bring its own.
ifdef SANITIZE
WSH_LDFLAGS := -fsanitize=address,undefined
else
WSH_LDFLAGS := $(PROGRAM_LDFLAGS)
endif

$(OUT)/wsh: $(WSH_OBJECTS) $(SANITIZE_SOURCES)
	@mkdir -p $(@D)
	$(PROGRAM_CC) $(PROGRAM_CFLAGS) $(SANITIZE_FLAGS) $(CFLAGS) $^ -o $@ $(WSH_LDFLAGS) $(LDFLAGS)

$(BUILD)/wsh/%.o: wsh/%.c $(wildcard wsh/*.h) include/wshd_protocol.h wsh/module.mk Makefile
	@mkdir -p $(@D)
	$(PROGRAM_CC) $(CPPFLAGS) $(PROGRAM_CFLAGS) $(CFLAGS) -c $< -o $@

TESTS += $(BUILD)/test/wsh_test

$(BUILD)/test/wsh_test: test/wsh_test.c wsh/options.c wsh/message.c wsh/limits.c $(wildcard wsh/*.h) include/wshd_protocol.h
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) -Iwsh $(TEST_CFLAGS) $(filter %.c,$^) -o $@

TESTS += $(BUILD)/test/wsh_relay_test

# without -Iwsh: <limits.h> would be the one that is there
$(BUILD)/test/wsh_relay_test: test/wsh_relay_test.c wsh/relay.c wsh/socket.c wsh/terminal.c wsh/message.c $(wildcard wsh/*.h) include/wshd_protocol.h
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(TEST_CFLAGS) $(filter %.c,$^) -o $@
