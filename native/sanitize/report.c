/*
 * Only in sanitized builds: where a finding is told. A program of ours has no standard error that anybody
 * reads, closes every other descriptor and loses sight of the host's files; a mapping made before all that
 * stays. SANITIZE_LOG is a file of a few pages that the one who starts the tests has made and looks at
 * afterwards: a counter of bytes, then text. Where it cannot be seen (a program that begins inside a
 * container) only the exit status tells.
 */
#include <execinfo.h>
#include <fcntl.h>
#include <link.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define LOG_SIZE ((size_t)1 << 20)

void __sanitizer_set_death_callback(void (*callback)(void));
/* not where only the other one is linked */
void __asan_set_error_report_callback(void (*callback)(const char *report)) __attribute__((weak));
const char *__asan_default_options(void);
const char *__ubsan_default_options(void);

/*
 * Init never exits, so nothing is a leak; a finding is the end of the process, with a status that no job of
 * the tests has. Signals are as they are without sanitizers: to process 1 the kernel delivers only what it
 * handles, so a handler for SIGSEGV would let anybody inside end it.
 */
const char *__asan_default_options(void) {
  return "detect_leaks=0:exitcode=99:handle_segv=0:handle_sigbus=0:handle_sigill=0:handle_sigfpe=0:handle_"
         "abort=0";
}
const char *__ubsan_default_options(void) { return "exitcode=99:print_stacktrace=1"; }

static struct {
  _Atomic uint64_t length;
  char text[LOG_SIZE - sizeof(uint64_t)];
} * shared;

static void append(const char *text) {
  size_t length = strlen(text);
  uint64_t at = atomic_fetch_add(&shared->length, length);
  if (at + length <= sizeof shared->text) memcpy(shared->text + at, text, length);
}

/* The program itself comes first. */
static int find_base(struct dl_phdr_info *info, size_t size, void *base) {
  (void)size;
  *(uintptr_t *)base = info->dlpi_addr;
  return 1;
}

static void died(void) {
  char line[512] = "(unknown)", program[256] = "";
  void *frames[48];
  uintptr_t base = 0;
  int count = backtrace(frames, 48);
  dl_iterate_phdr(find_base, &base);
  if (readlink("/proc/self/exe", program, sizeof program - 1) < 0) strcpy(program, "a program without /proc");
  snprintf(line, sizeof line, "\nsanitizer: process %d of %s\n", (int)getpid(), program);
  append(line);
  for (int i = 0; i < count; i++) {
    snprintf(line, sizeof line, "  0x%zx\n", (size_t)((uintptr_t)frames[i] - base));
    append(line);
  }
}

__attribute__((constructor)) static void open_log(void) {
  int fd = open(SANITIZE_LOG, O_RDWR | O_CLOEXEC);
  void *mapped = fd < 0 ? MAP_FAILED : mmap(NULL, LOG_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (fd >= 0) close(fd);
  if (mapped == MAP_FAILED) return;
  shared = mapped;
  __sanitizer_set_death_callback(died);
  if (__asan_set_error_report_callback != NULL) __asan_set_error_report_callback(append);
}
