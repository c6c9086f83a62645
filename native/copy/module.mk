# warden-copy, both roles of a copy between host and container: one static binary.
COPY_SOURCES := $(wildcard copy/*.c)
COPY_HEADERS := $(wildcard copy/*.h)

ALL += $(OUT)/warden-copy
PROGRAMS += $(OUT)/warden-copy

$(OUT)/warden-copy: $(COPY_SOURCES) $(COPY_HEADERS) copy/module.mk Makefile
	@mkdir -p $(@D)
	$(PROGRAM_CC) $(CPPFLAGS) $(PROGRAM_CFLAGS) -O2 $(CFLAGS) $(COPY_SOURCES) -o $@ $(PROGRAM_LDFLAGS) $(LDFLAGS)
