#include "container.h"

#include "cgroup.h"
#include "network.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define NAMESPACES (CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWUTS | CLONE_NEWIPC)

static int make_directories(const struct settings *settings, uint32_t number) {
  static const char *const names[] = {"", "/upper", "/work", "/root"};
  char path[300];
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    snprintf(path, sizeof path, "%s/%x%s", settings->directory, number, names[i]);
    if (mkdir(path, 0755) != 0) return -errno;
  }
  return 0;
}

static int write_map(pid_t pid, const char *name, uint32_t number) {
  char path[64], text[64];
  snprintf(path, sizeof path, "/proc/%d/%s", pid, name);
  int length = snprintf(text, sizeof text, "0 %u 65536\n", 0x20000000u + number * 65536u);
  int fd = open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0) return -errno;
  int result = write(fd, text, (size_t)length) < 0 ? -errno : 0;
  close(fd);
  return result;
}

static int expect(int channel, char word) {
  char got = 0;
  return read(channel, &got, 1) == 1 && got == word ? 0 : -ECHILD;
}

static int say(int channel, char word) { return send(channel, &word, 1, MSG_NOSIGNAL) == 1 ? 0 : -errno; }

static int connect_init(const struct settings *settings, uint32_t number) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  snprintf(address.sun_path, sizeof address.sun_path, "%s/%x/socket", settings->directory, number);
  int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
  if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof address) == 0) return fd;
  int number_of_error = -errno;
  if (fd >= 0) close(fd);
  return number_of_error;
}

static int guide(const struct settings *settings, struct container *container, int channel) {
  const uint32_t number = container->number;
  int result = network_attach(settings->name, number, container->init);
  if (result == 0) result = say(channel, WORD_GO);
  if (result == 0) result = expect(channel, WORD_USERS);
  if (result == 0) result = write_map(container->init, "uid_map", number);
  if (result == 0) result = write_map(container->init, "gid_map", number);
  if (result == 0) result = say(channel, WORD_USERS);
  if (result == 0) result = expect(channel, WORD_READY);
  if (result != 0) return result;
  container->channel = connect_init(settings, number);
  return container->channel < 0 ? container->channel : 0;
}

int container_create(const struct settings *settings, uint32_t number, struct container *container) {
  int pair[2];
  *container = (struct container){.number = number, .channel = -1};
  int result = make_directories(settings, number);
  if (result == 0) result = cgroup_create(settings->name, number);
  if (result != 0) return result;
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) return -errno;
  pid_t pid = (pid_t)syscall(SYS_clone, (unsigned long)(NAMESPACES | SIGCHLD), NULL, NULL, NULL, NULL);
  if (pid == 0) init_main(&(struct plan){.settings = settings, .number = number, .channel = pair[1]});
  result = pid < 0 ? -errno : 0;
  close(pair[1]);
  container->init = pid;
  if (result == 0) result = guide(settings, container, pair[0]);
  close(pair[0]);
  if (result != 0) container_destroy(settings, container);
  return result;
}

static int send_streams(int channel, unsigned char program, const int *fds) {
  union {
    struct cmsghdr header;
    char bytes[CMSG_SPACE(3 * sizeof(int))];
  } control = {0};
  struct iovec part = {&program, 1};
  struct msghdr message = {
      .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
  control.header = (struct cmsghdr){
      .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(3 * sizeof(int))};
  memcpy(CMSG_DATA(&control.header), fds, 3 * sizeof(int));
  return sendmsg(channel, &message, MSG_NOSIGNAL) == 1 ? 0 : -errno;
}

static int open_input(enum program program) {
  static const char script[] = "true\n";
  if (program == RUN_TRUE) return open("/dev/null", O_RDONLY | O_CLOEXEC);
  int fd = memfd_create("script", MFD_CLOEXEC);
  if (fd >= 0 && (write(fd, script, sizeof script - 1) < 0 || lseek(fd, 0, SEEK_SET) < 0)) return -1;
  return fd;
}

int container_run(const struct container *container, enum program program, int *status) {
  char output[4096];
  int out[2], err[2];
  int input = open_input(program);
  if (input < 0 || pipe2(out, O_CLOEXEC) != 0 || pipe2(err, O_CLOEXEC) != 0) return -errno;
  int result = send_streams(container->channel, (unsigned char)program, (int[]){input, out[1], err[1]});
  close(input);
  close(out[1]);
  close(err[1]);
  while (result == 0 && read(out[0], output, sizeof output) > 0) continue;
  while (result == 0 && read(err[0], output, sizeof output) > 0) continue;
  close(out[0]);
  close(err[0]);
  if (result == 0 && recv(container->channel, status, sizeof *status, 0) != sizeof *status) result = -ECHILD;
  return result;
}

static int remove_entry(const char *path, const struct stat *facts, int kind, struct FTW *place) {
  (void)facts;
  (void)kind;
  (void)place;
  return remove(path);
}

int container_destroy(const struct settings *settings, struct container *container) {
  char path[300];
  if (container->channel >= 0) close(container->channel);
  container->channel = -1;
  if (container->init > 0) {
    kill(container->init, SIGKILL);
    while (waitpid(container->init, NULL, 0) < 0 && errno == EINTR) continue;
  }
  int result = network_detach(settings->name, container->number);
  int groups = cgroup_remove(settings->name, container->number);
  snprintf(path, sizeof path, "%s/%x", settings->directory, container->number);
  if (nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS) != 0 && result == 0) result = -errno;
  return result != 0 ? result : groups;
}
