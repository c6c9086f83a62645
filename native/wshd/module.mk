WSHD_SOURCES := $(wildcard wshd/*.c)
WSHD_HEADERS := $(wildcard wshd/*.h) include/wshd_protocol.h include/bare_call.h

# Every container holds one in memory: optimized as a whole, no tables for unwinding a stack, which nothing here does, and no page's worth
# of padding between code and constants. A sanitized build needs the tables, and its size is no matter.
ifndef SANITIZE
WSHD_FLAGS := -fno-asynchronous-unwind-tables -fno-unwind-tables -flto -Wl,-z,noseparate-code
endif

$(OUT)/wshd: $(WSHD_SOURCES) $(SANITIZE_SOURCES) $(WSHD_HEADERS)
	@mkdir -p $(@D)
	$(PROGRAM_CC) $(CPPFLAGS) $(PROGRAM_CFLAGS) $(SANITIZE_FLAGS) $(WSHD_FLAGS) -o $@ $(WSHD_SOURCES) $(SANITIZE_SOURCES) $(PROGRAM_LDFLAGS)

$(BUILD)/test/wshd_plan_test: test/wshd_plan_test.c wshd/plan.c wshd/report.c wshd/wire.c wshd/ring.c wshd/accounts.c wshd/format.c $(WSHD_HEADERS)
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) -Iwshd $(TEST_CFLAGS) -o $@ $(filter %.c,$^)

$(BUILD)/test/wshd_confinement_test: test/wshd_confinement_test.c wshd/identity.c wshd/seccomp.c wshd/format.c wshd/setting.c $(WSHD_HEADERS)
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) -Iwshd $(TEST_CFLAGS) -o $@ $(filter %.c,$^)

$(BUILD)/test/wshd_bare_test: test/wshd_bare_test.c $(WSHD_HEADERS)
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) -Iwshd $(TEST_CFLAGS) -o $@ $<

ALL += $(OUT)/wshd
PROGRAMS += $(OUT)/wshd
TESTS += $(BUILD)/test/wshd_plan_test $(BUILD)/test/wshd_confinement_test $(BUILD)/test/wshd_bare_test

# The whole program, driven over its own protocol. The script is no product: only its prerequisite is made.
export WSHD := $(OUT)/wshd
TESTS += test/wshd_test.sh
test/wshd_test.sh: $(OUT)/wshd $(BUILD)/test/traced $(BUILD)/test/restless

# Programs for a root without libraries.
export WSHD_TRACED := $(abspath $(BUILD))/test/traced
export WSHD_RESTLESS := $(abspath $(BUILD))/test/restless
$(BUILD)/test/traced $(BUILD)/test/restless: $(BUILD)/test/%: test/%.c
	@mkdir -p $(@D)
	$(MUSL_CC) $(WARNINGS) -D_GNU_SOURCE -static -o $@ $<
