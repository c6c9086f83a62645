/*
 * Process 1 of a container with all its clients and jobs, but without processes: fork(2), wait(2) and kill(2)
 * are the target's own, sockets, pipes and epoll the kernel's. The input is a list of steps: clients come,
 * send whatever they like, with descriptors, read or do not, and go; jobs write and end.
 */
#include "send.h"

#include "../wshd/failpoint.h"
#include "../wshd/init.h"
#include "../wshd/prepared.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>

#define CLIENTS 4
#define WRITERS 16
#define PROCESSES 64

static struct init init;
static struct sockaddr_un address;
static socklen_t address_size;
static int clients[CLIENTS], writers[WRITERS];

/* Processes that init believes to have; 0: free. */
static struct {
  pid_t pid;
  bool ended;
  int status;
} processes[PROCESSES];
static pid_t next_pid;
static bool fork_fails;

pid_t fuzz_fork(void);
pid_t fuzz_fork(void) {
  for (int i = 0; i < PROCESSES && !fork_fails; i++) {
    if (processes[i].pid != 0) continue;
    processes[i].pid = next_pid++;
    processes[i].ended = false;
    return processes[i].pid;
  }
  errno = EAGAIN;
  return -1;
}

pid_t fuzz_waitpid(pid_t pid, int *status, int options);
pid_t fuzz_waitpid(pid_t pid, int *status, int options) {
  bool any = false;
  must(pid == -1 && options == 1);
  for (int i = 0; i < PROCESSES; i++) {
    pid_t found = processes[i].pid;
    any = any || found != 0;
    if (found == 0 || !processes[i].ended) continue;
    *status = processes[i].status;
    processes[i].pid = 0;
    return found;
  }
  errno = ECHILD;
  return any ? 0 : -1;
}

int fuzz_kill(pid_t pid, int signal);
int fuzz_kill(pid_t pid, int signal) {
  must(signal >= 0 && signal <= 64 && pid != 0 && pid != 1);
  for (int i = 0; i < PROCESSES && pid == -1 && signal == SIGKILL; i++) {
    processes[i].ended = true;
    processes[i].status = SIGKILL;
  }
  errno = ESRCH;
  return -1;
}

/* The step that fails next. */
static int armed;

int failpoint(enum failpoint at) {
  if (armed != (int)at) return 0;
  armed = -1;
  errno = EIO;
  return -1;
}

/* As long as there are, init forks. */
bool failpoints_are_set(void) { return true; }

/* The job's end of each pipe is kept, as the job would. */
int fuzz_pipe2(int *pair, int flags);
int fuzz_pipe2(int *pair, int flags) {
  if (pipe2(pair, flags) != 0) return -1;
  for (int i = 0; i < WRITERS; i++) {
    if (writers[i] >= 0) continue;
    writers[i] = fcntl(pair[1], F_DUPFD_CLOEXEC, 0);
    fcntl(writers[i], F_SETFL, O_WRONLY | O_NONBLOCK);
    break;
  }
  return 0;
}

void signals_clear(const struct init *one) { must(one == &init); }

void descendants_signal(int proc, int signal) { must(proc == init.proc && signal >= 0 && signal <= 64); }

void tree_signal(int proc, pid_t root, int signal, bool shared) {
  must(proc == init.proc && root > 0 && signal >= 0 && signal <= 64 && shared == (init.keeper != 0));
}

void execute(const struct init *one, const struct spawn_request *request, int in, int out, int err) {
  (void)one;
  (void)request;
  (void)in;
  (void)out;
  (void)err;
  abort(); /* no process is ever made */
}

/* What init would have got from init_prepare(). */
static void begin(void) {
  memset(&init, 0, sizeof init);
  memset(processes, 0, sizeof processes);
  next_pid = 1000;
  fork_fails = false;
  armed = -1;
  for (int i = 0; i < CLIENTS; i++) clients[i] = -1;
  for (int i = 0; i < WRITERS; i++) writers[i] = -1;
  init.listener_watch.kind = WATCH_LISTENER;
  init.listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  init.epoll = epoll_create1(EPOLL_CLOEXEC);
  init.proc = init.signals = init.reserve.outside = init.reserve.inside = -1;
  init.pts = open("/dev/pts", O_PATH | O_DIRECTORY | O_CLOEXEC);
  init.spare = fcntl(0, F_DUPFD_CLOEXEC, 3);
  init.keeper = getppid(); /* so that a client of this process is believed */
  init.may_prepare = true;
  signal(SIGPIPE, SIG_IGN); /* as init_prepare() does */
  address = (struct sockaddr_un){.sun_family = AF_UNIX};
  must(bind(init.listener, (struct sockaddr *)&address, sizeof address.sun_family) == 0 &&
       listen(init.listener, CLIENTS) == 0);
  address_size = sizeof address;
  must(getsockname(init.listener, (struct sockaddr *)&address, &address_size) == 0);
  struct epoll_event event = {.events = EPOLLIN, .data.ptr = &init.listener_watch};
  must(epoll_ctl(init.epoll, EPOLL_CTL_ADD, init.listener, &event) == 0);
}

/* One turn of init_serve(). */
static void turn(void) {
  struct epoll_event events[16];
  prepared_expire(&init);
  int count = epoll_wait(init.epoll, events, 16, 0);
  for (int i = 0; i < count; i++) {
    struct watch *what = events[i].data.ptr;
    if (what->kind == WATCH_LISTENER) connection_accept(&init);
    else if (what->kind == WATCH_CONNECTION)
      connection_event(&init, (struct connection *)what, events[i].events);
    else stream_event(&init, (struct stream *)what);
  }
  if (init.reap_again) jobs_reap(&init);
  connections_bury(&init);
  jobs_bury(&init);
}

static void check_jobs(void) {
  size_t count = 0;
  for (const struct job *job = init.jobs; job != NULL; job = job->next) {
    must(job_find(&init, job->id) != NULL && *job->link == job && job->ended == (job->pid == 0));
    must(job->owner == NULL || (!job->owner->dead && (job->id & WSHD_OPERATOR_JOB) != 0));
    must(++count < 10000);
  }
  must(init.daemon == NULL || !init.daemon->dead);
  for (const struct waiter *waiter = init.waiters; waiter != NULL; waiter = waiter->next)
    must(!waiter->connection->dead);
}

static void come(int at) {
  if (clients[at] >= 0) return;
  clients[at] = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (clients[at] >= 0 && connect(clients[at], (struct sockaddr *)&address, address_size) != 0) {
    close(clients[at]);
    clients[at] = -1;
  }
}

static void leave(int at) {
  if (clients[at] >= 0) close(clients[at]);
  clients[at] = -1;
}

static void say(int at, const void *bytes, size_t length, size_t fd_count) {
  const int fds[8] = {0};
  if (clients[at] < 0) return;
  if (send_with(clients[at], bytes, length, fds, fd_count) < 0 && errno == EPIPE) leave(at);
}

/* A number of the protocol in an answer. */
static uint32_t number_at(const unsigned char *bytes, size_t length, size_t at) {
  uint32_t value;
  must(at + sizeof value <= length);
  memcpy(&value, bytes + at, sizeof value);
  return value;
}

/* Every answer is one of the protocol, as long as it should be and with the descriptors it should have. */
static void check_answer(const unsigned char *bytes, size_t length, size_t fd_count) {
  struct wshd_header header;
  must(length >= sizeof header);
  memcpy(&header, bytes, sizeof header);
  must(header.version == WSHD_PROTOCOL_VERSION);
  size_t rest = length - sizeof header, first;
  switch (header.type) {
    case WSHD_ERROR:
      first = number_at(bytes, length, 12);
      must(number_at(bytes, length, 8) != 0 && rest == 12 + first + number_at(bytes, length, 16 + first) &&
           fd_count == 0);
      break;
    case WSHD_WELCOME:
      must((rest == 4 || rest == 8) && fd_count == 0);
      break;
    case WSHD_SPAWNED:
      must(rest == 8 && fd_count <= 3);
      break;
    case WSHD_OK:
    case WSHD_READY:
      must(rest == 0 && fd_count == 0);
      break;
    case WSHD_EXIT:
      must(rest == 8 && fd_count == 0 && header.sequence == 0);
      break;
    case WSHD_JOB:
      must(rest == 56 && header.sequence == 0);
      first = (number_at(bytes, length, 20) & WSHD_SPAWN_INPUT_OPEN) != 0;
      must(fd_count == first || fd_count == first + 2);
      break;
    case WSHD_RING:
      must(number_at(bytes, length, 12) - 1 < 2 && rest == 20 + number_at(bytes, length, 24) && rest > 20 &&
           fd_count == 0);
      break;
    default:
      must(!"a message that the protocol does not have");
  }
}

/* Everything that is there for a client. */
static void hear(int at, unsigned most) {
  static unsigned char bytes[WSHD_MESSAGE_MAX + 1];
  for (unsigned i = 0; i < most && clients[at] >= 0; i++) {
    union {
      struct cmsghdr align;
      char bytes[CMSG_SPACE(sizeof(int) * 16)];
    } control;
    struct iovec part = {.iov_base = bytes, .iov_len = sizeof bytes};
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control};
    ssize_t got = recvmsg(clients[at], &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (got < 0 && errno == EAGAIN) return;
    if (got <= 0) {
      leave(at);
      return;
    }
    size_t count = 0;
    for (struct cmsghdr *one = CMSG_FIRSTHDR(&message); one != NULL; one = CMSG_NXTHDR(&message, one)) {
      size_t held = (one->cmsg_len - CMSG_LEN(0)) / sizeof(int);
      for (size_t j = 0; j < held; j++, count++) {
        int fd;
        memcpy(&fd, CMSG_DATA(one) + j * sizeof fd, sizeof fd);
        close(fd);
      }
    }
    check_answer(bytes, (size_t)got, count);
  }
}

static void step(struct input *input) {
  static const unsigned char filler[WSHD_RING_BYTES] = {'f'};
  uint8_t kind = input_byte(input);
  int at = kind >> 4 & (CLIENTS - 1);
  size_t length;
  switch (kind & 15) {
    case 0:
      come(at);
      break;
    case 1:
      leave(at);
      break;
    case 2:
    case 3:
    case 4: { /* a message with a proper header, and a body of the input */
      static unsigned char bytes[sizeof(struct wshd_header) + 65535];
      const struct wshd_header header = {
          .version = WSHD_PROTOCOL_VERSION, .type = input_byte(input), .sequence = kind};
      const uint8_t *body = input_take(input, input_number(input, (kind & 15) == 2 ? 1 : 2), &length);
      memcpy(bytes, &header, sizeof header);
      memcpy(bytes + sizeof header, body, length);
      say(at, bytes, sizeof header + length, (kind & 15) == 4 ? input_byte(input) & 7u : 0);
      break;
    }
    case 5: { /* whatever it is */
      const uint8_t *body = input_take(input, input_number(input, 2), &length);
      say(at, body, length, 0);
      break;
    }
    case 6:
      hear(at, 1);
      break;
    case 7:
      hear(at, 100000);
      break;
    case 8: { /* a process ends */
      int which = input_byte(input) % PROCESSES;
      if (processes[which].pid == 0) break;
      processes[which].ended = true;
      processes[which].status = (int)input_number(input, 2);
      jobs_reap(&init);
      break;
    }
    case 9: { /* a job writes */
      int which = input_byte(input) % WRITERS;
      length = input_number(input, 2) % sizeof filler + 1;
      if (writers[which] >= 0) (void)!write(writers[which], filler, length);
      break;
    }
    case 10: { /* and closes its output */
      int which = input_byte(input) % WRITERS;
      if (writers[which] >= 0) close(writers[which]);
      writers[which] = -1;
      break;
    }
    case 11:
      fork_fails = !fork_fails;
      break;
    case 12: /* in a process namespace of its own, or not */
      init.keeper = init.keeper == 0 ? getppid() : 0;
      break;
    case 13: { /* who says who it is */
      const struct wshd_header header = {.version = WSHD_PROTOCOL_VERSION, .type = WSHD_HELLO, .sequence = 1};
      unsigned char bytes[sizeof header + 4] = {0};
      memcpy(bytes, &header, sizeof header);
      bytes[sizeof header] = (unsigned char)(1 + input_byte(input) % 2);
      come(at);
      say(at, bytes, sizeof bytes, 0);
      turn();
      break;
    }
    case 14:
      armed = input_byte(input) % FAILPOINT_COUNT;
      break;
    default:
      turn();
  }
}

static void finish(void) {
  for (int i = 0; i < CLIENTS; i++) leave(i);
  for (int i = 0; i < WRITERS; i++)
    if (writers[i] >= 0) close(writers[i]);
  for (int i = 0; i < PROCESSES; i++) processes[i].ended = true;
  init.keeper = getppid();
  armed = -1;
  for (int i = 0; i < 4; i++) {
    turn();
    jobs_reap(&init);
  }
  must(init.connections == NULL && init.daemon == NULL && init.waiters == NULL && init.prepared == NULL);
  while (init.jobs != NULL) {
    must(init.jobs->ended && (init.jobs->id & WSHD_OPERATOR_JOB) == 0);
    job_forget(&init, init.jobs);
  }
  jobs_bury(&init);
  close(init.listener);
  close(init.epoll);
  if (init.pts >= 0) close(init.pts);
  close(init.spare);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct input input = {.at = data, .left = size};
  uint64_t before = open_descriptors();
  begin();
  while (input.left > 0) {
    step(&input);
    turn();
    check_jobs();
  }
  finish();
  must(open_descriptors() == before);
  return 0;
}
