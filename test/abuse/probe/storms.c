/*
 * Storms: take as much as there is of one thing, say how much that was and what ended it, and hold it for a
 * while. All are bounded by themselves too, so that a container without limits is told apart from one that
 * never ends. Prints `KIND COUNT ERRNO held` and ends after SECONDS.
 */
#include "probe.h"

#include <fcntl.h>
#include <mqueue.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MIB (1ul << 20)

/* One more of it. Answers -1 with errno at the end. */
typedef int take_function(unsigned long number);

static int take_process(unsigned long number) {
  pid_t pid = fork();
  (void)number;
  if (pid == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (;;) pause();
  }
  return pid;
}

/* Each child begins two more: the classic. It is bounded by depth, 2^15 processes if nothing ends it. */
static int take_fork_bomb(unsigned long number) {
  if (number > 0) {
    errno = EDOM;
    return -1;
  }
  for (int depth = 0; depth < 15; depth++) fork();
  for (;;) pause();
}

static int take_zombie(unsigned long number) {
  pid_t pid = fork();
  (void)number;
  if (pid == 0) _exit(0);
  return pid;
}

/* Orphans that end at once are init's to collect. */
static int take_orphan(unsigned long number) {
  pid_t pid = fork();
  (void)number;
  if (pid == 0) {
    fork();
    _exit(0);
  }
  if (pid < 0) return -1;
  waitpid(pid, NULL, 0);
  return 0;
}

static void *wait_for_ever(void *argument) {
  for (;;) pause();
  return argument;
}

static int take_thread(unsigned long number) {
  pthread_t thread;
  pthread_attr_t small;
  (void)number;
  pthread_attr_init(&small);
  pthread_attr_setstacksize(&small, 16384);
  errno = pthread_create(&thread, &small, wait_for_ever, NULL);
  return errno == 0 ? 0 : -1;
}

static int take_memory(unsigned long number) {
  (void)number;
  char *memory = mmap(NULL, MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return -1;
  memset(memory, 'x', MIB);
  return 0;
}

static int write_megabyte(int fd) {
  static char block[1 << 16];
  for (int i = 0; i < 16; i++)
    if (write(fd, block, sizeof block) < 0) return -1;
  return 0;
}

static int take_file_space(const char *path) {
  static int fd = -1;
  if (fd < 0) fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
  return fd < 0 ? -1 : write_megabyte(fd);
}

static int take_shm_space(unsigned long number) {
  (void)number;
  return take_file_space("/dev/shm/storm");
}

static int take_dev_space(unsigned long number) {
  (void)number;
  return take_file_space("/dev/storm");
}

static int take_inode(const char *directory, unsigned long number) {
  char path[64];
  snprintf(path, sizeof path, "%s/i%lu", directory, number);
  return mknod(path, S_IFREG | 0600, 0);
}

static int take_shm_inode(unsigned long number) { return take_inode("/dev/shm", number); }

static int take_descriptor(unsigned long number) {
  (void)number;
  return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static int take_pty(unsigned long number) {
  (void)number;
  return open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
}

static int take_pipe(unsigned long number) {
  int ends[2];
  static char block[1 << 16];
  (void)number;
  if (pipe2(ends, O_NONBLOCK | O_CLOEXEC) != 0) return -1;
  fcntl(ends[1], F_SETPIPE_SZ, 1 << 20);
  while (write(ends[1], block, sizeof block) > 0) continue;
  return 0;
}

static int take_socket_buffer(unsigned long number) {
  int ends[2], size = 1 << 22;
  static char block[1 << 16];
  (void)number;
  if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) != 0) return -1;
  setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
  while (send(ends[0], block, sizeof block, 0) > 0) continue;
  return 0;
}

/*
 * Descriptors on their way, which nobody takes: they are counted for the user, whose other processes can send
 * none then, init among them.
 */
static int take_rights(unsigned long number) {
  static int ends[2] = {-1, -1};
  int rights[250];
  char control[CMSG_SPACE(sizeof rights)] = {0};
  struct iovec data = {.iov_base = "x", .iov_len = 1};
  struct msghdr message = {
      .msg_iov = &data, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  struct cmsghdr *header = CMSG_FIRSTHDR(&message);
  (void)number;
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof rights);
  for (int tries = 0; tries < 2; tries++) {
    for (size_t i = 0; i < sizeof rights / sizeof *rights; i++) rights[i] = ends[0];
    memcpy(CMSG_DATA(header), rights, sizeof rights);
    if (ends[0] >= 0 && sendmsg(ends[0], &message, MSG_NOSIGNAL) >= 0) return 0;
    if (ends[0] >= 0 && errno != EAGAIN) return -1;
    /* the first, or the one before is full */
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) != 0) return -1;
  }
  return -1;
}

static int take_udp_socket(unsigned long number) {
  (void)number;
  return socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
}

static int take_inotify(unsigned long number) {
  (void)number;
  return inotify_init1(IN_CLOEXEC);
}

static int take_watch(unsigned long number) {
  static int fd = -1;
  char path[64];
  if (fd < 0) fd = inotify_init1(IN_CLOEXEC);
  snprintf(path, sizeof path, "/tmp/w%lu", number);
  if (mkdir(path, 0700) != 0 && errno != EEXIST) return -1;
  return inotify_add_watch(fd, path, IN_ALL_EVENTS);
}

static int take_timer(unsigned long number) {
  (void)number;
  return timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
}

static int take_posix_timer(unsigned long number) {
  timer_t timer;
  struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
  (void)number;
  return timer_create(CLOCK_MONOTONIC, &event, &timer);
}

static int take_signal(unsigned long number) {
  union sigval value = {.sival_int = (int)number};
  sigset_t blocked;
  sigemptyset(&blocked);
  sigaddset(&blocked, SIGRTMIN);
  sigprocmask(SIG_BLOCK, &blocked, NULL);
  return sigqueue(getpid(), SIGRTMIN, value);
}

static int take_segment(unsigned long number) {
  (void)number;
  int id = shmget(IPC_PRIVATE, MIB, IPC_CREAT | 0600);
  void *memory = id < 0 ? (void *)-1 : shmat(id, NULL, 0);
  if (memory == (void *)-1) return -1;
  memset(memory, 'x', MIB);
  return 0;
}

static int take_semaphores(unsigned long number) {
  (void)number;
  return semget(IPC_PRIVATE, 250, IPC_CREAT | 0600);
}

static int take_messages(unsigned long number) {
  static struct {
    long type;
    char text[8000];
  } message = {.type = 1};
  (void)number;
  int id = msgget(IPC_PRIVATE, IPC_CREAT | 0600);
  if (id < 0) return -1;
  while (msgsnd(id, &message, sizeof message.text, IPC_NOWAIT) == 0) continue;
  return 0;
}

static int take_queue(unsigned long number) {
  char name[32];
  snprintf(name, sizeof name, "/storm-%lu", number);
  return mq_open(name, O_CREAT | O_RDWR, 0600, NULL) == (mqd_t)-1 ? -1 : 0;
}

static int take_aio(unsigned long number) {
  unsigned long context = 0;
  (void)number;
  return (int)syscall(SYS_io_setup, 1024, &context);
}

static int take_key(unsigned long number) {
  char name[32];
  snprintf(name, sizeof name, "storm-%lu", number);
  return (int)syscall(SYS_add_key, "user", name, "x", 1, -3);
}

static int take_epoll(unsigned long number) {
  (void)number;
  return epoll_create1(EPOLL_CLOEXEC);
}

static int take_memory_file(unsigned long number) {
  (void)number;
  int fd = memfd_create("storm", MFD_CLOEXEC);
  return fd < 0 ? -1 : write_megabyte(fd);
}

/* Output that somebody may or may not read. */
static int take_output(unsigned long number) {
  (void)number;
  return write_megabyte(1);
}

static int take_locked_memory(unsigned long number) {
  (void)number;
  char *memory = mmap(NULL, MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return memory == MAP_FAILED ? -1 : mlock(memory, MIB);
}

static int take_lock(unsigned long number) {
  static int fd = -1;
  struct flock lock = {.l_type = F_WRLCK, .l_start = (off_t)number * 2, .l_len = 1};
  if (fd < 0) fd = open("/tmp/locks", O_CREAT | O_RDWR | O_CLOEXEC, 0600);
  return fcntl(fd, F_SETLK, &lock);
}

static const struct {
  const char *name;
  take_function *take;
  unsigned long most;
} storms[] = {
    {"processes", take_process, 20000},
    {"fork-bomb", take_fork_bomb, 1},
    {"zombies", take_zombie, 20000},
    {"orphans", take_orphan, 2000},
    {"threads", take_thread, 20000},
    {"memory", take_memory, 4096},
    {"shm", take_shm_space, 4096},
    {"dev", take_dev_space, 4096},
    {"shm-inodes", take_shm_inode, 2000000},
    {"descriptors", take_descriptor, 100000},
    {"ptys", take_pty, 20000},
    {"pipes", take_pipe, 20000},
    {"socket-buffers", take_socket_buffer, 20000},
    {"rights", take_rights, 20000},
    {"udp-sockets", take_udp_socket, 100000},
    {"inotify", take_inotify, 20000},
    {"watches", take_watch, 2000},
    {"timers", take_timer, 100000},
    {"posix-timers", take_posix_timer, 200000},
    {"signals", take_signal, 400000},
    {"sysv-segments", take_segment, 4096},
    {"semaphores", take_semaphores, 40000},
    {"messages", take_messages, 40000},
    {"queues", take_queue, 20000},
    {"aio", take_aio, 2000},
    {"keys", take_key, 5000},
    {"epolls", take_epoll, 100000},
    {"memory-files", take_memory_file, 4096},
    {"output", take_output, 512},
    {"locked-memory", take_locked_memory, 4096},
    {"file-locks", take_lock, 5000},
};

/* As many descriptors as the process may have. */
static void raise_open_files(void) {
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

int storm_main(int argc, char **argv) {
  for (size_t i = 0; argc == 2 && i < sizeof storms / sizeof *storms; i++) {
    if (strcmp(storms[i].name, argv[0]) != 0) continue;
    raise_open_files();
    unsigned long count = 0;
    errno = 0;
    while (count < storms[i].most && storms[i].take(count) >= 0) count++;
    int error = count < storms[i].most ? errno : 0;
    /* standard output may be what is exhausted */
    dprintf(2, "%s %lu %s held\n", argv[0], count, error == 0 ? "-" : strerrorname_np(error));
    sleep((unsigned)atoi(argv[1]));
    return 0;
  }
  fputs("usage: abuse-probe storm KIND SECONDS, KIND one of", stderr);
  for (size_t i = 0; i < sizeof storms / sizeof *storms; i++) fprintf(stderr, " %s", storms[i].name);
  fputs("\n", stderr);
  return 2;
}
