/*
 * System calls by the doors of other architectures, where the numbers mean something else and a filter by
 * number is passed by.
 */
#include "probe.h"

#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined __x86_64__
#define X32_BIT 0x40000000l

struct call {
  const char *name;
  long number;
};

/*
 * The 32-bit door. Arguments must lie below 4 GiB; zero will do, the question is whether the kernel answers
 * at all.
 */
static int by_interrupt(const void *argument) {
  long result;
  __asm__ volatile("int $0x80"
                   : "=a"(result)
                   : "a"(((const struct call *)argument)->number), "b"(0), "c"(0), "d"(0), "S"(0), "D"(0)
                   : "r8", "r9", "r10", "r11", "memory");
  saw("%ld", result);
  /* a call that ran and failed for its arguments ran */
  int number = (int)result;
  if (number == -EPERM || number == -ENOSYS) {
    errno = -number;
    return -1;
  }
  return 0;
}

static int by_x32(const void *argument) {
  long result = raw_call(((const struct call *)argument)->number | X32_BIT, 0, 0, 0, 0, 0, 0);
  if (result < 0 && (errno == EPERM || errno == ENOSYS)) return -1;
  return 0;
}

void try_foreign_calls(void) {
  static const struct call old[] = {{"getpid", 20},
                                    {"mount", 21},
                                    {"umount", 22},
                                    {"ptrace", 26},
                                    {"setns", 346},
                                    {"unshare", 310},
                                    {"bpf", 357},
                                    {"keyctl", 288},
                                    {"socketcall", 102},
                                    {"ipc", 117},
                                    {"clone", 120},
                                    {"reboot", 88},
                                    {"vm86", 166},
                                    {"modify_ldt", 123},
                                    {"io_setup", 245},
                                    {"perf_event_open", 336},
                                    {"userfaultfd", 374},
                                    {"open_by_handle_at", 342},
                                    {"clock_settime64", 404}};
  for (size_t i = 0; i < sizeof old / sizeof *old; i++)
    attempt(by_interrupt, &old[i], "foreign/i386-%s", old[i].name);
  static const struct call x32[] = {
      {"getpid", SYS_getpid},    {"mount", SYS_mount}, {"unshare", SYS_unshare}, {"ptrace", 521},
      {"process_vm_readv", 539}, {"io_setup", 543},    {"kexec_load", 528}};
  for (size_t i = 0; i < sizeof x32 / sizeof *x32; i++)
    attempt(by_x32, &x32[i], "foreign/x32-%s", x32[i].name);
}
#else
/* 64-bit ARM enters 32-bit code by exec only, and this probe is no such program. */
void try_foreign_calls(void) {}
#endif
