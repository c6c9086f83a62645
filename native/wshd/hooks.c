#include "hooks.h"

#include "clock.h"
#include "descriptor.h"
#include "format.h"
#include "report.h"
#include "setting.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define TAIL_MAX 1024       /* last words: they go into a report */
#define LOG_MAX (64 * 1024) /* of one stream of one hook */

extern char **environ;

/* One output of the hook: its end of a pipe, and where the bytes go. */
struct output {
  const char *log_path;
  int fd, log;
  size_t logged;
};

struct hook {
  const char *name;
  char path[1024];
  pid_t pid;
  struct output outputs[2];
  char tail[TAIL_MAX];
  size_t tail_length;
};

static void path_of(char *path, size_t size, const char *lib, const char *name) {
  format(path, size, "%s/%s", lib, name);
}

bool hook_exists(const char *lib, const char *name) {
  char path[1024];
  struct stat facts;
  path_of(path, sizeof path, lib, name);
  /* one that only cannot be looked at is tried, which fails and is told: it may be what keeps somebody safe */
  if (stat(path, &facts) != 0) return errno != ENOENT && errno != ENOTDIR;
  return S_ISREG(facts.st_mode) && (facts.st_mode & 0111) != 0 && facts.st_size > 0;
}

static bool is_program(const char *path) {
  char magic[4];
  int fd = open_path(path, O_RDONLY);
  bool elf =
      fd >= 0 && read(fd, magic, sizeof magic) == sizeof magic && memcmp(magic, "\177ELF", sizeof magic) == 0;
  if (fd >= 0) close(fd);
  return elf;
}

_Noreturn static void execute_hook(const struct hook *hook, const int *ends, const struct plan *plan,
                                   int shell) {
  setpgid(0, 0);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  /* init's score is none of what a hook starts */
  (void)setting_write("/proc/self/oom_score_adj", "0");
  signal(SIGPIPE, SIG_DFL); /* that it is ignored would be inherited */
  int null = open_path("/dev/null", O_RDONLY);
  dup2(ends[0], 1);
  dup2(ends[1], 2);
  if (null < 0 || dup2(null, 0) < 0) close(0);
  char *path = (char *)hook->path, *argv[] = {path, NULL, NULL, NULL};
  if (shell < 0 || is_program(path)) {
    execve(path, argv, environ);
  } else {
    /* busybox takes the name of the program it is to be from its arguments */
    bool busybox = strstr(plan->hook_shell, "busybox") != NULL;
    argv[0] = (char *)(busybox ? "busybox" : "bash");
    argv[1] = busybox ? (char *)"sh" : path;
    argv[2] = busybox ? path : NULL;
    syscall(SYS_execveat, shell, "", argv, environ, AT_EMPTY_PATH);
  }
  complain("%s: cannot be executed: %s\n", path, strerror(errno));
  _exit(127);
}

static void keep_tail(struct hook *hook, const char *bytes, size_t length) {
  if (length > TAIL_MAX) {
    bytes += length - TAIL_MAX;
    length = TAIL_MAX;
  }
  size_t excess = hook->tail_length + length > TAIL_MAX ? hook->tail_length + length - TAIL_MAX : 0;
  memmove(hook->tail, hook->tail + excess, hook->tail_length - excess);
  memcpy(hook->tail + hook->tail_length - excess, bytes, length);
  hook->tail_length += length - excess;
}

static void keep_in_log(struct output *output, const char *bytes, size_t length) {
  if (output->log < 0)
    output->log = open(output->log_path, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (length > LOG_MAX - output->logged) length = LOG_MAX - output->logged;
  /* a full disk must not fail a hook that only wanted to say something */
  if (output->log < 0 || length == 0 || write(output->log, bytes, length) < 0) return;
  output->logged += length;
}

/* Takes what is there now. False at the end of the stream. */
static bool take(struct hook *hook, struct output *output) {
  char bytes[4096];
  ssize_t got = read(output->fd, bytes, sizeof bytes);
  if (got < 0) return errno == EINTR || errno == EAGAIN;
  if (got == 0) return false;
  keep_tail(hook, bytes, (size_t)got);
  keep_in_log(output, bytes, (size_t)got);
  return true;
}

enum end { ENDED, TIMED_OUT, ABANDONED };

/* Waits for the end of a hook, but no longer than it may take and than somebody wants the container. */
static enum end await_end(struct hook *hook, int pidfd, unsigned seconds) {
  int64_t until = monotonic_ms() + (int64_t)seconds * 1000;
  struct pollfd wait[4] = {{.fd = pidfd, .events = POLLIN},
                           {.fd = report_descriptor()},
                           {.fd = hook->outputs[0].fd, .events = POLLIN},
                           {.fd = hook->outputs[1].fd, .events = POLLIN}};
  for (;;) {
    int64_t left = until - monotonic_ms();
    if (left <= 0) return TIMED_OUT;
    if (poll(wait, 4, left > 60000 ? 60000 : (int)left) < 0 && errno != EINTR) return ABANDONED;
    for (int i = 0; i < 2; i++)
      if (wait[2 + i].revents != 0 && !take(hook, &hook->outputs[i])) wait[2 + i].fd = -1;
    if (wait[0].revents != 0) return ENDED;
    if (wait[1].revents != 0) return ABANDONED;
  }
}

/*
 * What is still in the pipes; not more, because a process that the hook has left in the background may go on
 * for ever.
 */
static void drain(struct hook *hook) {
  for (int i = 0; i < 2; i++)
    for (int reads = 0; reads < LOG_MAX / 4096 &&
                        poll(&(struct pollfd){.fd = hook->outputs[i].fd, .events = POLLIN}, 1, 0) > 0;
         reads++)
      if (!take(hook, &hook->outputs[i])) break;
}

/*
 * In the container's namespaces nothing of a hook may go on: it has seen the host's root, and whoever is root
 * inside later could reach that root through it. As process 1 this is everybody but itself.
 */
static void end_everybody_else(void) {
  if (getpid() != 1) return;
  kill(-1, SIGKILL);
  while (waitpid(-1, NULL, 0) > 0 || errno == EINTR) continue;
}

static const char *last_words(struct hook *hook, char *text, size_t size) {
  size_t length = hook->tail_length;
  while (length > 0 && (hook->tail[length - 1] == '\n' || hook->tail[length - 1] == ' ')) length--;
  if (length >= size) length = size - 1;
  for (size_t i = 0; i < length; i++) text[i] = hook->tail[i] == '\0' ? '?' : hook->tail[i];
  text[length] = '\0';
  return text;
}

/* First line: what happened, in the original's words where it had any. The rest: the hook's own. */
static int judge(struct hook *hook, enum end end, int status, unsigned seconds) {
  char words[TAIL_MAX + 1], text[TAIL_MAX + 1200];
  last_words(hook, words, sizeof words);
  if (end == ABANDONED) return -1;
  if (end == ENDED && WIFEXITED(status) && WEXITSTATUS(status) == 0) {
    if (words[0] == '\0') return 0;
    format(text, sizeof text, "log info %s %s", hook->name, words);
    report_packet(text);
    return 0;
  }
  int exit_status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  if (end == TIMED_OUT)
    format(text, sizeof text, "Process for \"%s\" did not end within %u s and was killed\n%s", hook->path,
           seconds, words);
  else if (WIFEXITED(status))
    format(text, sizeof text, "Process for \"%s\" exited with %d\n%s", hook->path, exit_status, words);
  else
    format(text, sizeof text, "Process for \"%s\" was killed by signal %d\n%s", hook->path, WTERMSIG(status),
           words);
  return report_failure(hook->name, 0, exit_status == 0 ? 128 + SIGKILL : exit_status, hook->path, text);
}

static int supervise(struct hook *hook, unsigned seconds) {
  int pidfd = (int)syscall(SYS_pidfd_open, hook->pid, 0u), status;
  if (pidfd < 0) {
    report_errno(hook->name, hook->path);
    kill(-hook->pid, SIGKILL);
    while (waitpid(hook->pid, &status, 0) < 0 && errno == EINTR) continue;
    return -1;
  }
  enum end end = await_end(hook, pidfd, seconds);
  close(pidfd);
  if (end != ENDED) kill(-hook->pid, SIGKILL);
  while (waitpid(hook->pid, &status, 0) < 0)
    if (errno != EINTR) return report_errno(hook->name, hook->path);
  end_everybody_else();
  drain(hook);
  return judge(hook, end, status, seconds);
}

/* Our ends do not block; the hook's do, as a program expects. */
static int make_outputs(struct hook *hook, int *ends) {
  for (int i = 0; i < 2; i++) {
    int pair[2];
    if (pipe2(pair, O_CLOEXEC) != 0) {
      if (i == 1) close(hook->outputs[0].fd), close(ends[0]);
      return report_errno(hook->name, "pipe");
    }
    fcntl(pair[0], F_SETFL, O_NONBLOCK);
    hook->outputs[i] = (struct output){
        .log_path = i == 0 ? "run/wshd.out.log" : "run/wshd.err.log", .fd = pair[0], .log = -1};
    ends[i] = pair[1];
  }
  return 0;
}

int hook_run(const struct plan *plan, const char *lib, const char *name, int shell) {
  struct hook hook = {.name = name};
  int ends[2] = {-1, -1}, result;
  if (!hook_exists(lib, name)) return 0;
  path_of(hook.path, sizeof hook.path, lib, name);
  if (make_outputs(&hook, ends) != 0) return -1;
  hook.pid = _Fork(); /* fork(2) without the care for threads, of which there are none */
  if (hook.pid == 0) execute_hook(&hook, ends, plan, shell);
  close(ends[0]);
  close(ends[1]);
  if (hook.pid < 0) {
    result = report_errno("hook", hook.path);
  } else {
    setpgid(hook.pid, hook.pid); /* here too: whoever comes first */
    result = supervise(&hook, plan->hook_timeout);
  }
  for (int i = 0; i < 2; i++) {
    close(hook.outputs[i].fd);
    if (hook.outputs[i].log >= 0) close(hook.outputs[i].log);
  }
  return result;
}

int hook_environment(char *variable) {
  size_t name = strcspn(variable, "=") + 1, count = 0, kept = 0;
  while (environ[count] != NULL) count++;
  char **larger = calloc(count + 2, sizeof *larger);
  if (larger == NULL) return -1;
  for (size_t i = 0; i < count; i++)
    if (strncmp(environ[i], variable, name) != 0) larger[kept++] = environ[i];
  larger[kept] = variable;
  environ = larger;
  return 0;
}
