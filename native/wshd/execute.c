#include "init.h"

#include "accounts.h"
#include "descriptor.h"
#include "failpoint.h"
#include "format.h"
#include "inroot.h"
#include "insecure.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

extern char **environ;

/* The job's standard error is where its owner looks. */
_Noreturn static void fail(const char *what, const char *object) {
  complain("%s: %s: %s\n", what, object, strerror(errno));
  _exit(EXECUTE_FAILED);
}

static void take_streams(int in, int out, int err) {
  /* all three are above 2: init's own standard streams are always open */
  if (dup2(in, 0) < 0 || dup2(out, 1) < 0 || dup2(err, 2) < 0) _exit(EXECUTE_FAILED);
}

/*
 * All but this one are at their defaults since init_prepare(): a call for each would be most of the calls
 * between fork and exec.
 */
static void default_signals(void) {
  sigset_t none;
  signal(SIGPIPE, SIG_DFL);
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
}

/* Answers whether a prepared one can be told its shell: getpwuid(3) would find the same account. */
static bool find_account(const struct spawn_request *request, struct account *account) {
  const int root = open_path("/", O_PATH | O_DIRECTORY); /* closed by the exec, as all that is left open */
  size_t length;
  char *passwd = inroot_read(root, "/etc/passwd", ACCOUNT_FILE_MAX, &length);
  const char *name = request->user[0] == '\0' ? "root" : request->user;
  const bool is_listed = passwd != NULL && account_find(passwd, name, account);
  const bool knows_shell = request->start_fd >= 0 && is_listed && account->shell[0] != '\0' &&
                           account_is_first(passwd, account);
  free(passwd); /* in borrowed memory (start.h) nothing may stay behind, whatever comes next */
  if (!is_listed) {
    if (strcmp(name, "root") != 0) {
      complain("getpwnam: no user %s in /etc/passwd\n", name);
      _exit(EXECUTE_FAILED);
    }
    /* root exists in every container, listed or not */
    *account = (struct account){.name = "root", .home = "/root", .shell = "/bin/sh"};
  }
  char *group = inroot_read(root, "/etc/group", ACCOUNT_FILE_MAX, &length);
  account_find_groups(group == NULL ? "" : group, account);
  free(group);
  return knows_shell;
}

/*
 * So that /dev/stdout and the like can be opened by whoever has them: init made the pipes, and so they were
 * root's.
 */
static void own_streams(const struct spawn_request *request, const struct account *account) {
  if (request->start_fd >= 0) fchown(request->start_fd, account->uid, (gid_t)-1);
  /* a stream that cannot be given away still works by its number */
  for (int fd = 0; fd <= 2; fd++) fchown(fd, account->uid, (gid_t)-1);
}

/* The program is nowhere in the root: its descriptor is all there is, and it is closed by the exec. */
_Noreturn static void execute_descriptor(int program, char **argv) {
  if ((program != 3 && dup3(program, 3, O_CLOEXEC) < 0) || syscall(SYS_close_range, 4u, ~0u, 0u) != 0)
    fail("close_range", "descriptors");
  syscall(SYS_execveat, 3, "", argv, environ, AT_EMPTY_PATH);
  fail("execveat", argv[0]);
}

/*
 * The kernel may take this process when it needs memory; init is what it must not take. The file is the host
 * root's as long as nobody may look into this process, so for these few calls the rule of ptrace(2) is all
 * that forbids it: whoever looks must have every capability that init has, CAP_SYS_RESOURCE among them, which
 * no job gets unless the operator gives it by name.
 */
static void take_own_score(const struct init *init) {
  if (init->has_own_users) prctl(PR_SET_DUMPABLE, 1);
  int fd = openat(init->proc, "self/oom_score_adj", O_WRONLY | O_CLOEXEC);
  if (init->has_own_users) prctl(PR_SET_DUMPABLE, 0);
  if (fd < 0) return;
  (void)!write(fd, init->job_score, strlen(init->job_score));
  close(fd);
}

static void limit(uint32_t resource, const struct rlimit *value) {
  char name[32];
  format(name, sizeof name, "resource %u", resource);
  /* EPERM: raising a hard limit takes CAP_SYS_RESOURCE, which not every host gives its root */
  if (prlimit(0, (int)resource, value, NULL) != 0) fail("setrlimit", name);
}

/* What is not asked for is as it was for init before it helped itself. */
void execute_limit(const struct init *init, const struct spawn_request *request) {
  prlimit(0, RLIMIT_NOFILE, &init->open_files, NULL);
  for (uint32_t i = 0; i < request->limit_count; i++) {
    struct rlimit value = {.rlim_cur = request->limits[i].soft, .rlim_max = request->limits[i].hard},
                  inherited;
    uint32_t resource = request->limits[i].resource;
    if (init->no_core_dumps && resource == RLIMIT_CORE) continue;
    /* for now it may only be raised, which takes rights that are soon gone */
    if (resource == RLIMIT_NPROC && prlimit(0, RLIMIT_NPROC, NULL, &inherited) == 0) {
      value.rlim_cur = value.rlim_max;
      if (value.rlim_max <= inherited.rlim_max) value = inherited;
    }
    limit(resource, &value);
  }
}

/*
 * Who becomes a user that has as many processes as it may have cannot start a program any more (execve(2),
 * EAGAIN). With the limit as init has it while becoming that user, and put down afterwards, one can: it is
 * what finds out who has all these processes, and ends them.
 */
void execute_limit_processes(const struct spawn_request *request) {
  for (uint32_t i = 0; i < request->limit_count; i++) {
    const struct rlimit value = {.rlim_cur = request->limits[i].soft, .rlim_max = request->limits[i].hard};
    if (request->limits[i].resource == RLIMIT_NPROC) limit(RLIMIT_NPROC, &value);
  }
}

static void become(const struct account *account) {
  /*
   * the C library's own would do this in every thread, for which it brings a machinery that one thread does
   * not need
   */
  if (syscall(SYS_setgroups, account->group_count, account->groups) != 0) fail("setgroups", account->name);
  if (syscall(SYS_setresgid, account->gid, account->gid, account->gid) != 0) fail("setgid", account->name);
  if (syscall(SYS_setresuid, account->uid, account->uid, account->uid) != 0) fail("setuid", account->name);
}

/* Adds NAME=value, or replaces what has that name. A word without `=` names nothing and is left out. */
static void put_variable(char **environment, size_t *count, char *variable) {
  size_t length = strcspn(variable, "="), at = 0;
  if (length == 0 || variable[length] == '\0') return;
  while (at < *count && strncmp(environment[at], variable, length + 1) != 0) at++;
  environment[at] = variable;
  if (at == *count) *count += 1;
}

static void make_environment(const struct spawn_request *request, const struct account *account,
                             bool knows_shell) {
  static char home[sizeof account->home + 8], user[sizeof account->name + 8],
      shell[sizeof account->shell + 8];
  static char start[] = "BASH_ENV=/proc/self/fd/3"; /* prepared.h */
  static char root_path[] = "PATH=/sbin:/bin:/usr/sbin:/usr/bin", path[] = "PATH=/bin:/usr/bin";
  char **environment = calloc(request->envc + 6, sizeof *environment);
  if (environment == NULL) fail("environment", account->name);
  size_t count = 0;
  format(home, sizeof home, "HOME=%s", account->home);
  format(user, sizeof user, "USER=%s", account->name);
  put_variable(environment, &count, home);
  put_variable(environment, &count, user);
  put_variable(environment, &count, account->uid == 0 ? root_path : path);
  /* what bash looks up by itself otherwise, see prepared.c */
  if (knows_shell) {
    format(shell, sizeof shell, "SHELL=%s", account->shell);
    put_variable(environment, &count, shell);
  }
  /* last, so that the request's own values stand */
  for (uint32_t i = 0; i < request->envc; i++) put_variable(environment, &count, request->environment[i]);
  if (request->start_fd >= 0) put_variable(environment, &count, start);
  environ = environment;
}

_Noreturn void execute(const struct init *init, const struct spawn_request *request, int in, int out,
                       int err) {
  struct account account;
  take_streams(in, out, err);
  setsid();
  if (failpoint(AT_JOB) != 0) fail("failpoint", "wshd.job");
  if (request->flags & WSHD_SPAWN_TTY) ioctl(0, TIOCSCTTY, 1);
  default_signals();
  if (request->flags & WSHD_SPAWN_TREE) prctl(PR_SET_CHILD_SUBREAPER, 1); /* survives the exec, not a fork */
  if (init->keeper != 0) insecure_execute(init, request);
  if (init->job_score != NULL) take_own_score(init);
  const bool knows_shell = find_account(request, &account);
  /* what takes memory comes before the limits, which can end this process at any moment: see start.h */
  make_environment(request, &account, knows_shell);
  own_streams(request, &account);
  execute_limit(init, request);
  become(&account);
  execute_limit_processes(request);
  if (request->directory != NULL && request->directory[0] != '\0') {
    if (chdir(request->directory) != 0) fail("chdir", request->directory);
  } else if (chdir(account.home) != 0 && chdir("/") != 0) {
    fail("chdir", account.home);
  }
  char *shell[] = {account.shell[0] == '\0' ? (char *)"/bin/sh" : account.shell, NULL};
  char **argv = request->argc == 0 ? shell : request->argv;
  if (request->program_fd >= 0) execute_descriptor(request->program_fd, argv);
  /* without the flag that closes it; the number was one of init's, which nothing needs from here on */
  if (request->start_fd >= 0 &&
      (request->start_fd == 3 ? fcntl(3, F_SETFD, 0) : dup2(request->start_fd, 3)) < 0)
    fail("dup2", "start");
  if (syscall(SYS_close_range, request->start_fd >= 0 ? 4u : 3u, ~0u, 0u) != 0)
    fail("close_range", "descriptors");
  if (failpoint(AT_EXECUTE) != 0) fail("failpoint", "wshd.execute");
  execvp(argv[0], argv);
  fail("execvpe", argv[0]);
}
