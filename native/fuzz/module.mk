# The fuzz targets: fuzz/<target>.c and the sources it is about. `make test` replays what fuzz/corpus/<target>/ keeps; `make fuzz` builds them
# with clang's libFuzzer, for scripts/fuzz.mjs to search.
FUZZ_CC ?= clang
FUZZ_FLAGS := -std=c11 -D_GNU_SOURCE -g -O1 -fno-omit-frame-pointer -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all \
              -Wall -Wextra -Wno-unknown-warning-option

FUZZ_TARGETS := wshd_serve wshd_plan wshd_accounts wshd_options wshd_inroot wshd_ring wshd_failpoint wshd_format wshd_overlay wshd_seccomp wshd_tree wshd_netlink \
                copy_channel copy_receiver copy_sender copy_tar copy_owner copy_place wsh_request wsh_answers lib_messages \
                unpack_layer unpack_accounts

FUZZ_COPY := $(filter-out copy/main.c,$(wildcard copy/*.c))

wshd_serve_SOURCES := wshd/messages.c wshd/connection.c wshd/job.c wshd/job_table.c wshd/prepared.c wshd/start.c wshd/streams.c wshd/reserve.c wshd/ring.c wshd/wire.c
wshd_serve_FLAGS := -D_Fork=fuzz_fork -Dwaitpid=fuzz_waitpid -Dkill=fuzz_kill
wshd_plan_SOURCES := wshd/plan.c wshd/format.c wshd/report.c wshd/identity.c wshd/setting.c
wshd_accounts_SOURCES := wshd/accounts.c wshd/format.c
wshd_options_SOURCES := wshd/options.c wshd/format.c wshd/failpoint.c wshd/report.c
wshd_failpoint_SOURCES := wshd/format.c
wshd_inroot_SOURCES := wshd/inroot.c wshd/format.c
wshd_ring_SOURCES := wshd/ring.c
wshd_format_SOURCES := wshd/format.c
wshd_overlay_SOURCES := wshd/ownership.c wshd/identity.c wshd/accounts.c wshd/inroot.c wshd/format.c wshd/report.c wshd/setting.c
wshd_seccomp_SOURCES := wshd/seccomp.c
wshd_tree_SOURCES := wshd/format.c
wshd_netlink_SOURCES := wshd/format.c
copy_channel_SOURCES := copy/channel.c copy/transfer.c copy/failure.c
copy_receiver_SOURCES := $(FUZZ_COPY)
copy_sender_SOURCES := $(FUZZ_COPY)
copy_tar_SOURCES := $(FUZZ_COPY)
copy_owner_SOURCES := copy/owner.c
copy_place_SOURCES := copy/place.c copy/target.c
wsh_request_SOURCES := wsh/options.c wsh/limits.c wsh/message.c wshd/wire.c
wsh_answers_SOURCES := wsh/options.c wsh/limits.c wsh/message.c wsh/socket.c wsh/terminal.c
lib_messages_SOURCES := lib/sockets.c
unpack_layer_SOURCES := unpack/accounts.c unpack/capture.c unpack/failure.c unpack/tar.c unpack/tree.c
unpack_accounts_SOURCES := unpack/accounts.c

# of these the kernel is part
FUZZ_KERNEL := wshd_serve wshd_inroot wshd_tree copy_channel copy_receiver copy_sender copy_tar copy_place wsh_answers lib_messages unpack_layer unpack_accounts
# a part of the program under test is included into the target, which replaces what it calls
FUZZ_HEADERS := $(wildcard fuzz/*.h wshd/*.h wsh/*.h copy/*.h lib/*.h unpack/*.h include/*.h) $(wildcard unpack/layer.c wsh/wsh.c wsh/relay.c wshd/tree.c wshd/inside_network.c wshd/failpoint.c lib/netlink.c)
define fuzz_target
$(BUILD)/test/fuzz_$(1): fuzz/$(1).c fuzz/replay.c $($(1)_SOURCES) $(FUZZ_HEADERS) fuzz/module.mk Makefile
	@mkdir -p $$(@D)
	$(CC) -Iinclude $(filter-out -Wshadow -Wmissing-prototypes,$(TEST_CFLAGS)) $($(1)_FLAGS) -DFUZZ_CORPUS='"fuzz/corpus/$(1)"' \
	  $(if $(filter $(1),$(FUZZ_KERNEL)),-DFUZZ_NEEDS_KERNEL) fuzz/$(1).c fuzz/replay.c $($(1)_SOURCES) -o $$@ -pthread

$(BUILD)/fuzz/$(1): fuzz/$(1).c $($(1)_SOURCES) $(FUZZ_HEADERS) fuzz/module.mk Makefile
	@mkdir -p $$(@D)
	$(FUZZ_CC) -Iinclude $(FUZZ_FLAGS) $($(1)_FLAGS) fuzz/$(1).c $($(1)_SOURCES) -o $$@ -pthread
endef
$(foreach target,$(FUZZ_TARGETS),$(eval $(call fuzz_target,$(target))))

.PHONY: fuzz fuzz-targets
fuzz: $(FUZZ_TARGETS:%=$(BUILD)/fuzz/%)
fuzz-targets:
	@echo $(FUZZ_TARGETS)

TESTS += $(FUZZ_TARGETS:%=$(BUILD)/test/fuzz_%)
