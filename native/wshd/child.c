#include "child.h"

#include "descriptor.h"
#include "failpoint.h"
#include "format.h"
#include "hooks.h"
#include "init.h"
#include "inside.h"
#include "report.h"
#include "root.h"
#include "seccomp.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

extern char **environ;

#define BEFORE_PIVOT "hook-child-before-pivot.sh"
#define AFTER_PIVOT "hook-child-after-pivot.sh"

int child_await(int channel, const char *expected) {
  char word[8];
  ssize_t got;
  do got = recv(channel, word, sizeof word, 0);
  while (got < 0 && errno == EINTR);
  return got == 2 && memcmp(word, expected, 2) == 0 ? 0 : -1;
}

/* What needs no network: the root with its files and its user. */
static int assemble(struct child *child) {
  const struct plan *plan = child->plan;
  int root = root_assemble(plan, child->options->root, &child->dev, &child->ownership, &child->settings);
  if (root < 0 || failpoint_reported(AT_ROOT) != 0) return -1;
  const mode_t mask = umask(0); /* modes are meant exactly */
  if (inside_files(plan, root) != 0 || failpoint_reported(AT_FILES) != 0) return -1;
  if (inside_user(plan, root) != 0 || failpoint_reported(AT_USER) != 0) return -1;
  umask(mask);
  if (identity_act(0, 0) != 0) return report_errno("root", "owner");
  return inside_ipc(plan, child->settings) == 0 ? root : -1;
}

/* Of the operator or the request. */
static bool has_binds(const struct plan *plan) {
  for (size_t i = 1; i < plan->mount_count; i++)
    if (plan->mounts[i].create != CREATE_NOTHING) return true;
  return false;
}

static int bind_requested(const struct child *child, int root) {
  const uid_t inner = id_outside(&child->plan->ids, 0);
  if (!has_binds(child->plan)) return 0;
  if (identity_act(inner, inner) != 0) return report_errno("root", "owner");
  if (root_bind(child->plan, root, child->users) != 0) return -1;
  return identity_act(0, 0) == 0 ? 0 : report_errno("root", "owner");
}

/* What comes after the daemon's word. */
static int complete(struct child *child, int root) {
  const struct plan *plan = child->plan;
  if (inside_network(plan, child->settings) != 0 || failpoint_reported(AT_NETWORK) != 0) return -1;
  close(child->settings);
  if (plan->hostname != NULL && sethostname(plan->hostname, strlen(plan->hostname)) != 0)
    return report_errno("hostname", plan->hostname);
  /*
   * the operator's mounts first, then those of the request (spec linux-container.md 9.3); the hooks are the
   * host's
   */
  if (hook_run(plan, child->options->lib, BEFORE_PIVOT, -1) != 0) return -1;
  return bind_requested(child, root) == 0 ? failpoint_reported(AT_BIND) : -1;
}

/*
 * Where the directory `path` will be once the host's tree is at /mnt, without symbolic links: an absolute one
 * would lead into the new root.
 */
static int moved_path(const char *path, char *moved, size_t size) {
  static const char prefix[] = "/mnt";
  char link[64];
  int fd = open_path(path, O_PATH | O_DIRECTORY);
  if (fd < 0) return -1;
  format(link, sizeof link, "/proc/self/fd/%d", fd);
  memcpy(moved, prefix, sizeof prefix);
  ssize_t length = readlink(link, moved + sizeof prefix - 1, size - sizeof prefix);
  close(fd);
  if (length < 0) return -1;
  moved[sizeof prefix - 1 + (size_t)length] = '\0';
  return 0;
}

/*
 * The hook's view: the new root, where no program of the root file system can be started, with the host's
 * tree below /mnt.
 */
static int pivot_with_hook(const struct child *child, int root) {
  const struct plan *plan = child->plan;
  char lib[1024], directory[1024];
  if (plan->hook_shell == NULL)
    return report_failure(
        AFTER_PIVOT, 0, 127, AFTER_PIVOT,
        "hook-child-after-pivot.sh needs a static shell of the host, and the configuration names none");
  int shell = open_path(plan->hook_shell, O_RDONLY);
  if (shell < 0) return report_errno(AFTER_PIVOT, plan->hook_shell);
  if (moved_path(child->options->lib, lib, sizeof lib) != 0 ||
      moved_path(".", directory, sizeof directory) != 0)
    return report_errno("pivot", child->options->lib);
  int *quiet = root_forbid_programs(plan, root);
  int old = quiet == NULL ? -1 : root_pivot_keeping(root);
  if (old < 0) return -1;
  if (chdir(directory) != 0) return report_errno("pivot", directory);
  /* the second half is for what the hook starts by chroot(8) in the host's tree */
  static char path[] = "PATH=/mnt/usr/local/sbin:/mnt/usr/local/bin:/mnt/usr/sbin:/mnt/usr/bin:/mnt/sbin:/"
                       "mnt/bin:/usr/sbin:/usr/bin:/sbin:/bin";
  if (hook_environment(path) != 0) return report_errno("pivot", "PATH");
  int result = hook_run(plan, lib, AFTER_PIVOT, shell);
  close(shell);
  return result == 0 && root_forget(old) == 0 ? root_allow_programs(plan, quiet) : -1;
}

/* The last hook finds the host's tree at /mnt, and itself below it (spec linux-container.md 9, row 4). */
static int pivot(const struct child *child, int root) {
  return hook_exists(child->options->lib, AFTER_PIVOT) ? pivot_with_hook(child, root) : root_pivot(root);
}

int child_null_streams(void) {
  int null = open_path("/dev/null", O_RDWR);
  if (null < 0) return report_errno("streams", "/dev/null");
  for (int fd = 0; fd <= 2; fd++)
    if (dup2(null, fd) < 0) return report_errno("streams", "/dev/null");
  if (null > 2) close(null);
  return 0;
}

/* ps(1) shows the memory of the arguments; setting it apart by PR_SET_MM would need CAP_SYS_RESOURCE. */
void child_set_title(const struct child *child) {
  if (child->options->title == NULL) return;
  char title[256];
  format(title, sizeof title, "%s", child->options->title);
  char *from = child->argv[0], *end = child->argv[child->argc - 1] + strlen(child->argv[child->argc - 1]) + 1;
  size_t room = (size_t)(end - from), length = strlen(title);
  if (length >= room) length = room - 1;
  memset(from, 0, room);
  memcpy(from, title, length);
  prctl(PR_SET_NAME, "wshd");
}

/* The hooks have run: container root has no business with the host's values in /proc/1/environ. */
void child_clear_environment(void) {
  static char *nothing[] = {NULL};
  for (char **entry = environ; *entry != NULL; entry++) memset(*entry, 0, strlen(*entry));
  environ = nothing;
}

int child_keep_only(struct child *child) {
  int *const kept[5] = {&child->listener, &child->channel, &child->epoll, &child->reserve.outside,
                        &child->reserve.inside};
  /* the compiler's analyzer forgets that, so the loops say it again */
  const int count = child->reserve.outside < 0 ? 3 : 5;
  /* out of the way first: each may be where another is to be */
  for (int i = 0; i < count && i < 5; i++)
    if ((*kept[i] = duplicate(*kept[i], 3 + count)) < 0) return report_errno("streams", "dup");
  for (int i = 0; i < count && i < 5; i++) {
    if (dup3(*kept[i], 3 + i, O_CLOEXEC) < 0) return report_errno("streams", "dup");
    *kept[i] = 3 + i;
  }
  report_open(child->channel);
  if (syscall(SYS_close_range, 3u + (unsigned)count, ~0u, 0u) != 0)
    return report_errno("streams", "close_range");
  return 0;
}

/*
 * 1 is the one limit that the kernel takes for "not even to the program that core_pattern names"; 0 is none
 * of its business then. That it stays is the filter's part: a hard limit of 1 would still allow 0. A socket
 * that core_pattern names (Linux 6.16) gets the core file whatever the limit.
 */
static int forbid_core_dumps(void) {
  const struct rlimit none = {1, 1};
  return prlimit(0, RLIMIT_CORE, &none, NULL);
}

/*
 * Gives up what only building the root took. The filter comes before the capabilities, because putting it on
 * takes one of them; all of it is inherited by every job, which so pays nothing for it.
 */
static int confine(struct child *child) {
  const struct plan *plan = child->plan;
  if (plan->no_core_dumps && forbid_core_dumps() != 0) return report_errno("confine", "core dumps");
  if (child->users >= 0 && (unshare(CLONE_NEWCGROUP) != 0 || identity_enter(child->users) != 0))
    return report_errno("confine", "user namespace");
  const struct seccomp_rules rules = {.no_core_dumps = plan->no_core_dumps,
                                      .on_host_users = child->users < 0};
  if (plan->seccomp && seccomp_install(&rules) != 0) return report_errno("confine", "seccomp");
  if (identity_limit(plan->capabilities) != 0) return report_errno("confine", "capabilities");
  if (plan->no_new_privs && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
    return report_errno("confine", "no_new_privs");
  /* a change of identity has cleared it */
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  return 0;
}

/*
 * Whether files inside may become others while no process is there: by what is bound for the operator or the
 * request, or by what a hook has mounted.
 */
static bool shares_files(const struct child *child) {
  return has_binds(child->plan) || hook_exists(child->options->lib, BEFORE_PIVOT) ||
         hook_exists(child->options->lib, AFTER_PIVOT);
}

int child_main(struct child *child) {
  report_open(child->channel);
  /*
   * a launcher that is killed while this process mounts or runs a hook; one that was killed before this line
   * is seen by child_await()
   */
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (setsid() < 0) {
    report_errno("session", "init");
    return 1;
  }
  umask(022);
  /*
   * The daemon makes the link meanwhile, unless a hook is to run before anything else is done. It needs this
   * process for that: one that failed waits, too.
   */
  const bool is_first = hook_exists(child->options->lib, HOOK_AFTER_CLONE);
  const bool is_shared = is_first || shares_files(child); /* now, while the host's files can still be seen */
  int root = is_first ? -1 : assemble(child);
  if (child_await(child->channel, "go") != 0 || failpoint_reported(AT_CHILD_GO) != 0) return 1;
  if (is_first) root = assemble(child);
  if (root < 0 || complete(child, root) != 0 || pivot(child, root) != 0 || failpoint_reported(AT_PIVOT) != 0)
    return 1;
  /* not before: what makes a container is not to wait behind the jobs of others */
  if (setpriority(PRIO_PROCESS, 0, child->plan->nice) != 0) {
    report_errno("nice", "init");
    return 1;
  }
  child_set_title(child);
  child_clear_environment();
  child->epoll = epoll_create1(EPOLL_CLOEXEC);
  if (child->epoll < 0) {
    report_errno("init", "epoll");
    return 1;
  }
  if (confine(child) != 0 || failpoint_reported(AT_CONFINE) != 0) return 1;
  if (child_null_streams() != 0 || child_keep_only(child) != 0 || failpoint_reported(AT_STREAMS) != 0)
    return 1;
  /* nobody inside may read this memory, which has seen the host */
  prctl(PR_SET_DUMPABLE, 0);
  struct init init = {.listener = child->listener,
                      .epoll = child->epoll,
                      .has_own_users = child->users >= 0,
                      .is_operators = child->options->sync_fd < 0,
                      .may_prepare = !is_shared,
                      .reserve = child->reserve,
                      .no_core_dumps = child->plan->no_core_dumps,
                      .job_score = child->job_score};
  if (init_prepare(&init) != 0 || failpoint_reported(AT_PREPARE) != 0) return 1;
  /* the kernel remembers who listens: that is the pid a client is told (SO_PEERCRED) */
  if (listen(child->listener, CHILD_BACKLOG) != 0) {
    report_errno("listen", "run/wshd.sock");
    return 1;
  }
  if (failpoint_reported(AT_LISTEN) != 0) return 1;
  /* from here on the launcher's end is the good one, unless it ends without a word */
  prctl(PR_SET_PDEATHSIG, 0);
  if (!report_packet("ready") || child_await(child->channel, "ok") != 0) return 1;
  if (failpoint(AT_SERVE) != 0) return 1;
  close(child->channel);
  report_open(-1);
  init_serve(&init);
}
