/*
 * Unit test (TAP) of wsh's relay, which runs in a child: this process is init, the job and whoever reads what
 * wsh prints.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../wsh/message.h"
#include "../wsh/relay.h"
#include "tap.h"

#define JOB 7
/* Far more than what the pipes hold. */
#define ENOUGH (4 << 20)

static char bytes[65536];

/* A descendant of the job that goes on writing whenever there is room. */
static void fill(int pipe) {
  while (write(pipe, bytes, sizeof bytes) > 0) continue;
}

static void say_that_it_has_ended(int init, int status) {
  static struct message message;
  message_begin(&message, WSHD_EXIT, 0);
  message_u32(&message, JOB);
  message_u32(&message, (uint32_t)status);
  send(init, message.bytes, message.length, 0);
}

_Noreturn static void relay_in_child(int socket, int input, int output, int errors, int printed) {
  struct relay relay = {.socket = socket, .job_id = JOB, .input = input, .output = output, .errors = errors};
  int status = 0;
  sigemptyset(&relay.waiting);
  close(STDIN_FILENO);
  if (open("/dev/null", O_RDONLY) != STDIN_FILENO || dup2(printed, STDOUT_FILENO) < 0) _exit(1);
  _exit(relay_run(&relay, &status) == 0 && status == 3 << 8 ? 0 : 1);
}

/* Each time before anything more can be printed, there is more to print. */
static size_t read_and_refill(int printed, int output) {
  size_t length = 0;
  while (length < ENOUGH) {
    fill(output);
    ssize_t got = read(printed, bytes, 4096);
    if (got <= 0) break;
    length += (size_t)got;
  }
  return length;
}

static void test_descendant_that_goes_on(void) {
  int init[2], input[2], output[2], errors[2], printed[2], status = -1;
  signal(SIGPIPE, SIG_IGN);
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, init) != 0 || pipe(input) != 0 ||
      pipe2(output, O_NONBLOCK) != 0 || pipe2(errors, O_NONBLOCK) != 0 || pipe(printed) != 0 ||
      fcntl(printed[1], F_SETPIPE_SZ, 4096) < 0)
    _exit(1);
  fill(output[1]);
  say_that_it_has_ended(init[0], 3 << 8);
  pid_t pid = fork();
  if (pid == 0) {
    const int others[] = {init[0], input[0], output[1], errors[1], printed[0]};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) close(others[i]);
    relay_in_child(init[1], input[1], output[0], errors[0], printed[1]);
  }
  close(printed[1]);
  close(output[0]);
  size_t length = read_and_refill(printed[0], output[1]);
  check(length >= sizeof bytes, "what was there at the end of a job is printed");
  check(length < ENOUGH, "what its descendants go on writing is not waited for");
  close(printed[0]);
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) continue;
  check(status == 0, "the job's status is answered");
}

int main(void) {
  memset(bytes, 'x', sizeof bytes);
  test_descendant_that_goes_on();
  return tap_end();
}
