/*
 * The floor: what a container costs when a C program makes it with kernel calls alone and does nothing else.
 * A daemon on a unix socket and a client that asks it, in one program. The client reads commands from
 * standard input, one per line, and answers each with the microseconds from request to answer:
 *
 *   create N | run N | shell N | destroy N      one container with this number
 *   cycles CREATORS SECONDS FIRST               create and destroy as fast as it goes; answers cycles per
 * second pipe copied MIB | pipe lent MIB             one program's bytes read by another; answers gigabytes
 * per second
 *
 * Each connection is served by a process of its own, so that creators do not wait for each other.
 */
#include "cgroup.h"
#include "container.h"
#include "network.h"
#include "pipe.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CONTAINERS 4096
#define CREATORS_MAX 16

enum verb { VERB_CREATE, VERB_RUN, VERB_SHELL, VERB_DESTROY };
static const char *const verbs[] = {"create", "run", "shell", "destroy"};

struct question {
  uint32_t verb, number;
};

static struct settings settings;
static struct container containers[CONTAINERS];
static pid_t client, server;

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec * 1e6 + (double)time.tv_nsec / 1e3;
}

_Noreturn static void fail(const char *what, int number) {
  fprintf(stderr, "floor: %s: %s\n", what, strerror(number));
  exit(1);
}

static int answer(const struct question *question) {
  if (question->number >= CONTAINERS) return -EINVAL;
  struct container *container = &containers[question->number];
  int status = 0, result;
  switch ((enum verb)question->verb) {
    case VERB_CREATE:
      return container_create(&settings, question->number, container);
    case VERB_DESTROY:
      return container_destroy(&settings, container);
    case VERB_RUN:
    case VERB_SHELL:
      result = container_run(container, question->verb == VERB_RUN ? RUN_TRUE : RUN_SHELL, &status);
      return result != 0 ? result : status == 0 ? 0 : -ECHILD;
  }
  return -EINVAL;
}

_Noreturn static void serve(int connection) {
  struct question question;
  if (network_own_sockets() != 0) exit(1);
  while (recv(connection, &question, sizeof question, 0) == sizeof question) {
    int result = answer(&question);
    if (send(connection, &result, sizeof result, MSG_NOSIGNAL) != sizeof result) break;
  }
  exit(0);
}

_Noreturn static void daemon_main(int listener) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  signal(SIGCHLD, SIG_IGN);
  for (;;) {
    int connection = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    if (connection < 0) continue;
    if (fork() == 0) {
      signal(SIGCHLD, SIG_DFL);
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      serve(connection);
    }
    close(connection);
  }
}

static struct sockaddr_un address(void) {
  struct sockaddr_un place = {.sun_family = AF_UNIX};
  snprintf(place.sun_path, sizeof place.sun_path, "%s/floor.sock", settings.directory);
  return place;
}

static int ask_daemon(void) {
  struct sockaddr_un place = address();
  int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
  if (fd < 0 || connect(fd, (struct sockaddr *)&place, sizeof place) != 0) fail("connect", errno);
  return fd;
}

/* Microseconds from request to answer. */
static double ask(int connection, enum verb verb, uint32_t number) {
  struct question question = {verb, number};
  int result = 0;
  double began = now();
  if (send(connection, &question, sizeof question, MSG_NOSIGNAL) != sizeof question) fail("send", errno);
  if (recv(connection, &result, sizeof result, 0) != sizeof result) fail("the daemon's answer", ECHILD);
  if (result != 0) fail(verbs[verb], -result);
  return now() - began;
}

/* A number comes again only much later: the kernel takes a link away some time after the answer. */
static uint64_t create_and_destroy(unsigned creator, unsigned creators, uint32_t first, double until) {
  int connection = ask_daemon();
  uint64_t count = 0;
  for (; now() < until; count++) {
    uint32_t number = first + (uint32_t)((count * creators + creator) % (CONTAINERS - first));
    ask(connection, VERB_CREATE, number);
    ask(connection, VERB_DESTROY, number);
  }
  close(connection);
  return count;
}

static double cycles(unsigned creators, double seconds, uint32_t first) {
  int pipes[CREATORS_MAX][2];
  pid_t pids[CREATORS_MAX];
  uint64_t all = 0;
  if (creators > CREATORS_MAX) fail("creators", EINVAL);
  const double began = now(), until = began + seconds * 1e6;
  for (unsigned i = 0; i < creators; i++) {
    if (pipe(pipes[i]) != 0) fail("pipe", errno);
    pids[i] = fork();
    if (pids[i] != 0) {
      close(pipes[i][1]);
      continue;
    }
    uint64_t count = create_and_destroy(i, creators, first, until);
    _exit(write(pipes[i][1], &count, sizeof count) == sizeof count ? 0 : 1);
  }
  for (unsigned i = 0; i < creators; i++) {
    uint64_t count = 0;
    if (read(pipes[i][0], &count, sizeof count) != sizeof count) fail("cycles", ECHILD);
    close(pipes[i][0]);
    waitpid(pids[i], NULL, 0);
    all += count;
  }
  return (double)all / ((now() - began) / 1e6); /* the last ones end later */
}

static void client_main(void) {
  char line[256], word[16];
  unsigned number, creators;
  double seconds;
  int connection = ask_daemon();
  printf("ready %d\n", cgroup_count());
  fflush(stdout);
  while (fgets(line, sizeof line, stdin) != NULL) {
    double value = -1;
    if (sscanf(line, "cycles %u %lf %u", &creators, &seconds, &number) == 3)
      value = cycles(creators, seconds, number);
    else if (sscanf(line, "pipe %15s %u", word, &number) == 2)
      value = pipe_rate(settings.directory, strcmp(word, "lent") == 0, number);
    else if (sscanf(line, "%15s %u", word, &number) == 2)
      for (int verb = 0; verb < 4; verb++)
        if (strcmp(word, verbs[verb]) == 0) value = ask(connection, (enum verb)verb, number);
    if (value < 0) fail(line, EINVAL);
    printf("%.3f\n", value);
    fflush(stdout);
  }
}

/* However the client ends: containers end with the processes that made them. */
static void clean_up(void) {
  if (getpid() != client) return;
  if (server > 0) kill(server, SIGKILL);
  while (wait(NULL) > 0) continue;
  network_remove_table(settings.name);
  cgroup_remove_parents(settings.name);
}

int main(int argc, char **argv) {
  if (argc != 4) {
    fprintf(stderr, "usage: floor DIRECTORY ROOTFS NAME\n");
    return 2;
  }
  settings = (struct settings){.directory = argv[1], .rootfs = argv[2], .name = argv[3]};
  client = getpid();
  atexit(clean_up);
  int result = cgroup_setup(settings.name);
  if (result == 0) result = network_setup(settings.name);
  if (result != 0) fail("set-up", -result);
  struct sockaddr_un place = address();
  int listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
  unlink(place.sun_path);
  if (listener < 0 || bind(listener, (struct sockaddr *)&place, sizeof place) != 0 ||
      listen(listener, 64) != 0)
    fail("listen", errno);
  server = fork();
  if (server == 0) daemon_main(listener);
  close(listener);
  client_main();
  return 0;
}
