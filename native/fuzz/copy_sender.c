/*
 * The sender of a copy with a receiver that answers anything. A large file is only ever written to a
 * descriptor that came for it.
 */
#include "copy_hostile.h"

#include "../copy/sender.h"

#define LARGE_SIZE 150000

static unsigned char large[LARGE_SIZE];

static void make_source(void) {
  must(mkdirat(top, "root/src", 0755) == 0 && mkdirat(top, "root/src/d", 0755) == 0 &&
       mkdirat(top, "root/src/d/e", 0700) == 0);
  scratch_write(top, "root/src/small", "small", 5);
  scratch_write(top, "root/src/d/empty", "", 0);
  scratch_write(top, "root/src/large", large, sizeof large);
  must(symlinkat("../../outside/secret", top, "root/src/link") == 0 &&
       mkfifoat(top, "root/src/fifo", 0644) == 0);
}

/* Nothing of what lies outside is in what was sent. */
static void check_sent(int socket) {
  static unsigned char sent[1 << 19];
  size_t length = 0;
  for (ssize_t got;
       length < sizeof sent && (got = recv(socket, sent + length, sizeof sent - length, MSG_DONTWAIT)) > 0;
       length += (size_t)got)
    continue;
  must(length < sizeof sent && memmem(sent, length, SECRET "\0", sizeof SECRET) == NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static const char *const paths[] = {"/src",      "/src/",      "/src/large", "/src/link",
                                      "/src/fifo", "/up/secret", "/src/..",    "/none"};
  static struct channel channel;
  static struct failure own, peer;
  struct input input = {.at = data, .left = size};
  struct place place = {.root = -1, .home = "/"};
  char path[128], root[128];
  int ends[2];
  uint8_t how = input_byte(&input);
  bool is_host = how % 2 == 0;
  memset(large, 'L', sizeof large);
  hostile_place();
  const uint64_t before = open_descriptors();
  make_source();
  scratch_write(top, "target", "", 0);
  int target = openat(top, "target", O_RDWR | O_CLOEXEC);
  must(target >= 0 && socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
  while (input.left > 0) hostile_say(&input, ends[1], target);
  shutdown(ends[1], SHUT_WR);
  snprintf(root, sizeof root, "%s/root", scratch_path);
  snprintf(path, sizeof path, "%s%s", is_host ? root : "", paths[(how >> 1) % (is_host ? 5 : 8)]);
  if (!is_host) must(place_directory(&place, root) == 0);
  memset(&own, 0, sizeof own);
  memset(&peer, 0, sizeof peer);
  channel_init(&channel, ends[0], is_host);
  send_tree(&channel, &place, path, &own, &peer);
  check_sent(ends[1]);
  struct stat facts;
  must(fstat(target, &facts) == 0 && (facts.st_size == 0 || (is_host && facts.st_size == LARGE_SIZE)));
  if (channel.descriptor >= 0) close(channel.descriptor);
  if (!is_host) close(place.root);
  close(ends[0]);
  close(ends[1]);
  close(target);
  outside_check(top, 3);
  must(open_descriptors() == before);
  return 0;
}
