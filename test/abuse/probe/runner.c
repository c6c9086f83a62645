#include "probe.h"

#include "bare_call.h"

#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#define CASE_SECONDS 5
#define BESIDE_MAX 32

enum state { RUNNING, WORKED, FAILED, NOTHING };

/* Shared with the process that tries. */
struct outcome {
  enum state state;
  int error;
  char seen[96];
};

struct running {
  pid_t pid;
  struct outcome *outcome;
  char name[96];
};

static struct outcome *current;
static struct running beside[BESIDE_MAX];
static size_t beside_count;

void saw(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(current->seen, sizeof current->seen, format, arguments);
  va_end(arguments);
}

int inconclusive(const char *why) {
  snprintf(current->seen, sizeof current->seen, "%s", why);
  current->state = NOTHING;
  return 0;
}

static struct outcome *new_outcome(void) {
  struct outcome *made = mmap(NULL, sizeof *made, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (made == MAP_FAILED) {
    perror("mmap");
    exit(2);
  }
  return made;
}

_Noreturn static void child(attempt_function *run, const void *argument, struct outcome *outcome) {
  setpgid(0, 0);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  alarm(CASE_SECONDS);
  current = outcome;
  int null = open("/dev/null", O_RDWR | O_CLOEXEC);
  if (null > 2) {
    dup2(null, 2);
    close(null);
  }
  errno = 0;
  int result = run(argument);
  int error = errno;
  if (outcome->state == RUNNING) {
    outcome->error = error;
    outcome->state = result >= 0 ? WORKED : FAILED;
  }
  _exit(0);
}

/* One word each, whatever they are. */
static void print_line(const char *name, const char *result, const char *rest) {
  printf("%s %s ", name, result);
  for (; *rest != '\0'; rest++) putchar(*rest <= ' ' || *rest > '~' ? '_' : *rest);
  putchar('\n');
}

static const char *error_name(int error) {
  const char *name = strerrorname_np(error);
  return name == NULL ? "?" : name;
}

static void conclude(const char *name, const struct outcome *outcome, int status) {
  if (outcome->state == NOTHING) print_line(name, "inconclusive", outcome->seen);
  else if (outcome->state == WORKED) print_line(name, "open", outcome->seen[0] == '\0' ? "-" : outcome->seen);
  else if (outcome->state == FAILED) {
    bool is_absent = outcome->error == ENOENT || outcome->error == ENXIO || outcome->error == ENODEV ||
                     outcome->error == EAFNOSUPPORT;
    print_line(name, is_absent ? "absent" : "refused", error_name(outcome->error));
  } else if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM) print_line(name, "timeout", "-");
  else if (WIFSIGNALED(status)) {
    char signal_name[16];
    const char *known = sigabbrev_np(WTERMSIG(status));
    snprintf(signal_name, sizeof signal_name, "SIG%s", known == NULL ? "?" : known);
    print_line(name, "killed", signal_name);
  } else print_line(name, "inconclusive", "ended-early");
}

/* Whatever the case has left running goes with it. */
static void end_group(pid_t leader) {
  kill(-leader, SIGKILL);
  while (waitpid(-leader, NULL, 0) > 0) continue;
}

static void finish(struct running *one) {
  int status = 0;
  while (waitpid(one->pid, &status, 0) < 0 && errno == EINTR) continue;
  end_group(one->pid);
  conclude(one->name, one->outcome, status);
  munmap(one->outcome, sizeof *one->outcome);
}

static bool is_wanted(const char *name) {
  if (strncmp(name, given.only, strlen(given.only)) != 0) return false;
  if (given.list) puts(name);
  return !given.list;
}

static bool start(struct running *one, attempt_function *run, const void *argument) {
  one->outcome = new_outcome();
  fflush(stdout);
  one->pid = fork();
  if (one->pid == 0) child(run, argument, one->outcome);
  if (one->pid > 0) {
    setpgid(one->pid, one->pid);
    return true;
  }
  munmap(one->outcome, sizeof *one->outcome);
  print_line(one->name, "inconclusive", "no-process");
  return false;
}

void attempt(attempt_function *run, const void *argument, const char *name, ...) {
  struct running one;
  va_list arguments;
  va_start(arguments, name);
  vsnprintf(one.name, sizeof one.name, name, arguments);
  va_end(arguments);
  if (is_wanted(one.name) && start(&one, run, argument)) finish(&one);
}

void attempt_beside(attempt_function *run, const void *argument, const char *name, ...) {
  if (beside_count == BESIDE_MAX) attempts_settle();
  struct running *one = &beside[beside_count];
  va_list arguments;
  va_start(arguments, name);
  vsnprintf(one->name, sizeof one->name, name, arguments);
  va_end(arguments);
  if (is_wanted(one->name) && start(one, run, argument)) beside_count++;
}

void attempts_settle(void) {
  for (size_t i = 0; i < beside_count; i++) finish(&beside[i]);
  beside_count = 0;
}

long raw_call(long number, long a, long b, long c, long d, long e, long f) {
  const long result = bare_call(number, a, b, c, d, e, f);
  if (result >= 0 || result < -4095) return result;
  errno = (int)-result;
  return -1;
}

ssize_t read_start(const char *path, char *text, size_t size) {
  int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0) return -1;
  ssize_t got = read(fd, text, size - 1);
  int error = errno;
  close(fd);
  errno = error;
  text[got > 0 ? got : 0] = '\0';
  return got;
}

bool status_number(const char *pid, const char *name, int base, uint64_t *value) {
  char path[64], text[4096], wanted[32];
  snprintf(path, sizeof path, "/proc/%s/status", pid);
  snprintf(wanted, sizeof wanted, "\n%s:", name);
  if (read_start(path, text, sizeof text) <= 0) return false;
  const char *at = strstr(text, wanted);
  if (at == NULL) return false;
  *value = strtoull(at + strlen(wanted), NULL, base);
  return true;
}

int unless_null(int fd) {
  struct stat facts;
  if (fd < 0 || fstat(fd, &facts) != 0 || !S_ISCHR(facts.st_mode) || facts.st_rdev != makedev(1, 3))
    return fd;
  close(fd);
  errno = EACCES;
  return -1;
}

bool sees_host(int fd) {
  struct stat facts;
  return given.sentinel[0] != '\0' && fstatat(fd, given.sentinel + (fd == AT_FDCWD ? 0 : 1), &facts, 0) == 0;
}
