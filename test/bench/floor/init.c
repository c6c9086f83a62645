#include "cgroup.h"
#include "container.h"
#include "network.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

_Noreturn static void give_up(const struct plan *plan, const char *what) {
  int number = errno;
  dprintf(2, "floor: container %u: %s: %s\n", plan->number, what, strerror(number));
  _exit(1);
}

#define MUST(condition, what)                                                                                \
  do {                                                                                                       \
    if (!(condition)) give_up(plan, what);                                                                   \
  } while (0)

static void await(const struct plan *plan, char word) {
  char got;
  if (read(plan->channel, &got, 1) != 1 || got != word) _exit(1);
}

static int listen_at(const struct plan *plan) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  snprintf(address.sun_path, sizeof address.sun_path, "%s/%x/socket", plan->settings->directory,
           plan->number);
  int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
  MUST(fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof address) == 0, "socket");
  return fd;
}

static void make_devices(const struct plan *plan) {
  static const struct {
    const char *name;
    unsigned major, minor;
  } nodes[] = {
      {"null", 1, 3}, {"zero", 1, 5}, {"random", 1, 8}, {"urandom", 1, 9}, {"tty", 5, 0},
  };
  char path[64];
  MUST(mount("tmpfs", "dev", "tmpfs", MS_NOSUID | MS_NOEXEC, "mode=0755,size=64k") == 0, "dev");
  for (size_t i = 0; i < sizeof nodes / sizeof *nodes; i++) {
    snprintf(path, sizeof path, "dev/%s", nodes[i].name);
    MUST(mknod(path, S_IFCHR | 0666, makedev(nodes[i].major, nodes[i].minor)) == 0, path);
  }
  MUST(mkdir("dev/pts", 0755) == 0 && mkdir("dev/shm", 01777) == 0 && symlink("pts/ptmx", "dev/ptmx") == 0,
       "dev/pts");
  MUST(mount("devpts", "dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620") ==
           0,
       "devpts");
  MUST(mount("tmpfs", "dev/shm", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=1777") == 0, "shm");
}

static void build_root(const struct plan *plan) {
  char root[300], options[1024];
  const char *directory = plan->settings->directory;
  MUST(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0, "propagation");
  snprintf(root, sizeof root, "%s/%x/root", directory, plan->number);
  snprintf(options, sizeof options, "lowerdir=%s,upperdir=%s/%x/upper,workdir=%s/%x/work",
           plan->settings->rootfs, directory, plan->number, directory, plan->number);
  MUST(mount("overlay", root, "overlay", 0, options) == 0, "overlay");
  MUST(chdir(root) == 0, "root");
  MUST(mount("proc", "proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) == 0, "proc");
  make_devices(plan);
}

static void run(int connection, enum program program, const int *fds) {
  static char *const words[][2] = {{(char *)"/bin/true", NULL}, {(char *)"/bin/bash", NULL}};
  static char *environment[] = {(char *)"PATH=/bin:/usr/bin", NULL};
  int status = -1;
  pid_t pid = vfork();
  if (pid == 0) {
    for (int i = 0; i < 3; i++) dup2(fds[i], i);
    execve(words[program][0], words[program], environment);
    _exit(127);
  }
  for (int i = 0; i < 3; i++) close(fds[i]);
  while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR) continue;
  send(connection, &status, sizeof status, MSG_NOSIGNAL);
}

static void serve(int connection) {
  unsigned char program;
  union {
    struct cmsghdr header;
    char bytes[CMSG_SPACE(3 * sizeof(int))];
  } control;
  for (;;) {
    struct iovec part = {&program, 1};
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    if (recvmsg(connection, &message, MSG_CMSG_CLOEXEC) != 1) return;
    int fds[3];
    memcpy(fds, CMSG_DATA(&control.header), sizeof fds);
    run(connection, program, fds);
  }
}

_Noreturn void init_main(const struct plan *plan) {
  char hostname[32];
  char word = WORD_USERS;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  int listener = listen_at(plan);
  build_root(plan);
  /* after the device nodes, which may not be made inside */
  MUST(cgroup_join(plan->settings->name, plan->number) == 0, "cgroups");
  await(plan, WORD_GO);
  errno = -network_inside(plan->number);
  MUST(errno == 0, "network");
  snprintf(hostname, sizeof hostname, "floor-%x", plan->number);
  MUST(sethostname(hostname, strlen(hostname)) == 0, "hostname");
  MUST(syscall(SYS_pivot_root, ".", ".") == 0 && umount2(".", MNT_DETACH) == 0 && chdir("/") == 0, "pivot");
  MUST(unshare(CLONE_NEWUSER | CLONE_NEWCGROUP) == 0, "user namespace");
  MUST(write(plan->channel, &word, 1) == 1, "channel");
  await(plan, WORD_USERS);
  MUST(setgroups(0, NULL) == 0 && setresgid(0, 0, 0) == 0 && setresuid(0, 0, 0) == 0, "users");
  MUST(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0, "no_new_privs");
  prctl(PR_SET_PDEATHSIG, SIGKILL); /* a change of users clears it */
  MUST(listen(listener, 16) == 0, "listen");
  word = WORD_READY;
  MUST(write(plan->channel, &word, 1) == 1, "channel");
  close(plan->channel);
  for (;;) {
    int connection = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    if (connection < 0) continue;
    serve(connection);
    close(connection);
  }
}
