/* System calls without the C library: what the kernel answers comes as it is, and errno is left alone. */
#include "bare.h"
#include "tap.h"

#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { UNTOUCHED = 12345 };

static void test_packets(void) {
  int pair[2] = {-1, -1};
  char packet[16] = "";
  check(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) == 0, "a pair of sockets");
  signal(SIGPIPE, SIG_DFL);
  errno = UNTOUCHED;
  check(bare_send(pair[0], "hello", 5) == 5, "a packet is sent");
  struct pollfd wait[2] = {{.fd = pair[1], .events = POLLIN}, {.fd = -1, .events = POLLIN}};
  check(bare_poll(wait, 2) == 1 && wait[0].revents == POLLIN && wait[1].revents == 0,
        "it is waited for, and a descriptor that is none is left out");
  check(bare_receive(pair[1], packet, sizeof packet, MSG_DONTWAIT) == 5 && memcmp(packet, "hello", 5) == 0,
        "it is received");
  check(bare_receive(pair[1], packet, sizeof packet, MSG_DONTWAIT) == -EAGAIN, "there is no other one");
  bare_close(pair[0]);
  check(bare_receive(pair[1], packet, sizeof packet, 0) == 0, "the end of the other side is received");
  check(bare_send(pair[1], "x", 1) == -EPIPE, "nobody listens, and no signal says so");
  bare_close(pair[1]);
  check(bare_receive(pair[1], packet, sizeof packet, 0) == -EBADF, "what is closed is no descriptor any more");
  check(errno == UNTOUCHED, "errno has nothing of it");
}

static void test_processes(void) {
  const pid_t pid = fork();
  if (pid == 0) {
    pause();
    _exit(0);
  }
  siginfo_t info = {0};
  errno = UNTOUCHED;
  check(bare_kill(pid, SIGKILL) == 0, "a process is killed");
  check(bare_call(SYS_waitid, P_PID, pid, (long)&info, WEXITED | WNOWAIT, 0, 0) == 0 &&
            info.si_code == CLD_KILLED && info.si_status == SIGKILL,
        "its end is told, with five arguments");
  bare_collect(pid);
  check(bare_kill(pid, 0) == -ESRCH, "it is collected");
  check(errno == UNTOUCHED, "errno has nothing of that either");
}

int main(void) {
  test_packets();
  test_processes();
  return tap_end();
}
