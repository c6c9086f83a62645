/* Messages with descriptors, sealed memory files and sparse copies, under the sanitizers. */
#include "tap.h"
#include "warden_native.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static void test_messages(void) {
  int32_t ends[2], fds[253], received[253], count;
  char buffer[8];
  check(warden_socketpair(SOCK_SEQPACKET, ends) == 0, "a socket pair is made");
  for (int i = 0; i < 253; i++) fds[i] = ends[0];
  check(warden_send(ends[0], "x", 1, fds, 253) == 1, "253 descriptors are sent");
  check(warden_receive(ends[1], buffer, sizeof(buffer), received, &count) == 1 && count == 253,
        "and received");
  for (int i = 0; i < count; i++) close(received[i]);
  check(warden_send(ends[0], "x", 1, fds, 254) == -EINVAL, "254 are refused");
  check(warden_receive(ends[1], buffer, sizeof(buffer), received, &count) == -EAGAIN && count == 0,
        "nothing there is EAGAIN");

  int next = dup(0);
  close(next);
  check(warden_send(ends[0], "0123456789", 10, fds, 2) == 10, "a message too large for the receiver is sent");
  check(warden_receive(ends[1], buffer, sizeof(buffer), received, &count) == -EMSGSIZE && count == 0,
        "it is refused");
  int again = dup(0);
  check(again == next, "and its descriptors are closed");
  close(again);

  struct rlimit limit, full;
  getrlimit(RLIMIT_NOFILE, &limit);
  full = (struct rlimit){.rlim_cur = (rlim_t)next + 1, .rlim_max = limit.rlim_max};
  check(warden_send(ends[0], "x", 1, fds, 2) == 1 && setrlimit(RLIMIT_NOFILE, &full) == 0,
        "two descriptors are sent to who may open one more");
  check(warden_receive(ends[1], buffer, sizeof(buffer), received, &count) == 1 && count == -1,
        "the message comes, and says that they are lost");
  setrlimit(RLIMIT_NOFILE, &limit);
  again = dup(0);
  check(again == next, "and the one is closed");
  close(again);
  close(ends[0]);
  check(warden_receive(ends[1], buffer, sizeof(buffer), received, &count) == 0 && count == 0,
        "a closed peer is the end of the file");
  check(warden_send(ends[1], "x", 1, NULL, 0) == -EPIPE, "and cannot be written to");
  close(ends[1]);
}

static void test_connect(void) {
  char path[5000];
  memset(path, 'a', sizeof(path));
  path[0] = '/';
  path[sizeof(path) - 1] = '\0';
  check(warden_connect_unix(path, SOCK_STREAM) == -ENAMETOOLONG, "an overlong last component is refused");
  path[4200] = '/';
  check(warden_connect_unix(path, SOCK_STREAM) == -ENAMETOOLONG, "an overlong directory is refused");
  path[4200] = 'a';
  path[107] = '\0';
  check(warden_connect_unix(path, SOCK_STREAM) == -ENOENT, "107 bytes fit");
  path[107] = 'a';
  path[108] = '\0';
  check(warden_connect_unix(path, SOCK_STREAM) == -ENAMETOOLONG,
        "a name of 107 bytes does not fit behind a descriptor");
}

static void test_files(void) {
  char source[] = "/tmp/warden-library-test-XXXXXX";
  char target[64];
  struct stat status;
  int fd = mkstemp(source);
  snprintf(target, sizeof(target), "%s.copy", source);
  check(pwrite(fd, "head", 4, 0) == 4 && pwrite(fd, "tail", 4, 10 << 20) == 4 && ftruncate(fd, 20 << 20) == 0,
        "a sparse file");
  check(warden_copy_sparse(source, target) == 0, "is copied");
  check(stat(target, &status) == 0 && status.st_size == 20 << 20 && status.st_blocks < 1024,
        "with its size and its holes");
  check(warden_copy_sparse(source, target) == -EEXIST, "not over an existing file");
  check(warden_allocate_file(target, 1 << 20) == 0 && stat(target, &status) == 0 && status.st_size == 1 << 20,
        "space shrinks");
  check(warden_allocate_file(target, 3 << 20) == 0 && stat(target, &status) == 0 &&
            status.st_blocks >= 6144 - 2048,
        "and grows");
  close(fd);
  unlink(source);
  unlink(target);

  int sealed = warden_sealed_memfd("test", "content", 7);
  check(sealed >= 0 && write(sealed, "x", 1) < 0 && errno == EPERM, "a sealed memory file cannot be written");
  check(ftruncate(sealed, 0) < 0 && errno == EPERM, "nor shortened");
  close(sealed);
}

static void test_datagrams(void) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  char buffer[64], path[200];
  snprintf(address.sun_path, sizeof(address.sun_path), "/tmp/warden-library-test-%d", (int)getpid());
  int receiver = socket(AF_UNIX, SOCK_DGRAM, 0), fd = warden_datagram_socket();
  check(fd >= 0 && warden_send_datagram(fd, address.sun_path, "x", 1) == -ENOENT, "nobody has that address");
  check(bind(receiver, (struct sockaddr *)&address, sizeof(address)) == 0, "somebody has");
  check(warden_send_datagram(fd, address.sun_path, "a\0b", 3) == 0 &&
            recv(receiver, buffer, sizeof(buffer), 0) == 3,
        "a datagram arrives whole");
  int result = 0;
  for (int i = 0; i < 100000 && result == 0; i++) result = warden_send_datagram(fd, address.sun_path, "x", 1);
  check(result == -EAGAIN, "a full queue is told, not waited for");
  close(receiver);
  check(warden_send_datagram(fd, address.sun_path, "x", 1) == -ECONNREFUSED, "a receiver that has gone");
  unlink(address.sun_path);
  memset(path, 'a', sizeof(path));
  path[199] = '\0';
  check(warden_send_datagram(fd, path, "x", 1) == -ENAMETOOLONG, "an address that is too long");
  close(fd);
}

static void test_splice(void) {
  char name[] = "/tmp/warden-library-test-XXXXXX", buffer[8];
  int32_t ends[2];
  int file = mkstemp(name);
  unlink(name);
  check(warden_pipe(ends) == 0 && warden_splice(ends[0], file, 0, 65536) == -EAGAIN,
        "an empty pipe has nothing to move");
  check(write(ends[1], "abcdef", 6) == 6 && warden_splice(ends[0], file, 10, 4) == 4,
        "at most as much as asked for is moved");
  check(warden_splice(ends[0], file, 14, 65536) == 2 && pread(file, buffer, 8, 10) == 6 &&
            memcmp(buffer, "abcdef", 6) == 0,
        "to its place");
  int full = open("/dev/full", O_WRONLY);
  check(write(ends[1], "kept", 4) == 4 && warden_splice(ends[0], full, 0, 65536) < 0 &&
            warden_read(ends[0], buffer, 8) == 4,
        "a failure leaves it in the pipe");
  close(full);
  close(ends[1]);
  check(warden_splice(ends[0], file, 0, 65536) == 0, "a closed pipe is at its end");
  close(ends[0]);
  close(file);
}

static void test_pieces(void) {
  int32_t pipe_ends[2], ends[2];
  uint32_t progress[2] = {0, 0};
  char buffer[64];
  check(warden_pipe(pipe_ends) == 0 && warden_socketpair(SOCK_STREAM, ends) == 0, "a pipe and a socket");
  check(write(pipe_ends[1], "abcde", 5) == 5, "less than two pieces are in the pipe");
  check(warden_move_pieces(pipe_ends[0], ends[0], "<", 1, 3, ">\n", 2, 8, progress) == 0 &&
            progress[0] == 0 && progress[1] == 1,
        "one is moved");
  check(read(ends[1], buffer, sizeof buffer) == 6 && memcmp(buffer, "<abc>\n", 6) == 0,
        "between its head and its tail");
  check(read(pipe_ends[0], buffer, sizeof buffer) == 2 && memcmp(buffer, "de", 2) == 0,
        "the rest stays in the pipe");
  check(warden_move_pieces(pipe_ends[0], ends[0], "", 0, 3, ">", 1, 8, progress) == -EINVAL,
        "a piece without a head is refused");
  check(write(pipe_ends[1], "abcdefgh", 8) == 8, "more than is asked for");
  check(warden_move_pieces(pipe_ends[0], ends[0], "<", 1, 2, ">", 1, 3, progress) == 0 && progress[1] == 3,
        "no more than asked for");
  check(read(ends[1], buffer, sizeof buffer) == 12 && memcmp(buffer, "<ab><cd><ef>", 12) == 0,
        "in their order");
  progress[0] = 1; /* the head is on its way */
  check(read(pipe_ends[0], buffer, 2) == 2, "somebody else takes what a piece was to be made of");
  check(warden_move_pieces(pipe_ends[0], ends[0], "<", 1, 2, ">", 1, 3, progress) == -ENODATA &&
            progress[0] == 1,
        "and that is told");
  progress[0] = 0;
  check(write(pipe_ends[1], "gh", 2) == 2, "another piece");
  close(ends[1]);
  check(warden_move_pieces(pipe_ends[0], ends[0], "<", 1, 2, ">", 1, 3, progress) == -EPIPE, "nobody reads");
  check(read(pipe_ends[0], buffer, sizeof buffer) == 2, "and nothing is taken out of the pipe");
  for (int i = 0; i < 2; i++) close(pipe_ends[i]);
  close(ends[0]);
}

/* A socket that is full again and again, in the middle of heads, bytes and tails. */
static void test_pieces_one_by_one(void) {
  enum { SIZE = 30000, PIECES = 40 };
  static unsigned char got[PIECES * (SIZE + 8)], want[sizeof got];
  int32_t pipe_ends[2], ends[2];
  uint32_t progress[2] = {0, 0}, waits = 0, moved = 0;
  int small = 4096;
  size_t length = 0, put = 0, expected = 0;
  static unsigned char bytes[SIZE * PIECES];
  for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (unsigned char)(i * 7 + i / 251);
  for (int i = 0; i < PIECES; i++) {
    memcpy(want + expected, "head:", 5);
    memcpy(want + expected + 5, bytes + (size_t)i * SIZE, SIZE);
    memcpy(want + expected + 5 + SIZE, "end", 3);
    expected += SIZE + 8;
  }
  check(warden_pipe(pipe_ends) == 0 && warden_socketpair(SOCK_STREAM, ends) == 0, "a pipe and a socket");
  setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
  warden_set_nonblocking(pipe_ends[1]);
  while (length < expected) {
    ssize_t count = put < sizeof bytes ? write(pipe_ends[1], bytes + put, sizeof bytes - put) : 0;
    if (count > 0) put += (size_t)count;
    int result = warden_move_pieces(pipe_ends[0], ends[0], "head:", 5, SIZE, "end", 3, 8, progress);
    moved += progress[1];
    if (result == -EAGAIN) waits++;
    else if (result != 0) break;
    count = recv(ends[1], got + length,
                 1000 + length % 777 < sizeof got - length ? 1000 + length % 777 : sizeof got - length,
                 MSG_DONTWAIT);
    if (count > 0) length += (size_t)count;
  }
  check(moved == PIECES && progress[0] == 0, "all pieces were moved");
  check(length == expected && memcmp(got, want, expected) == 0,
        "each between its head and its tail, in order, whole");
  check(waits > 10, "although the socket was full again and again");
  for (int i = 0; i < 2; i++) {
    close(pipe_ends[i]);
    close(ends[i]);
  }
}

int main(void) {
  signal(SIGPIPE, SIG_IGN); /* as Node does */
  test_pieces();
  test_pieces_one_by_one();
  test_datagrams();
  test_splice();
  test_messages();
  test_connect();
  test_files();
  return tap_end();
}
