/*
 * The receiver of a copy with a sender that says anything: on the host (it gets descriptors) or in a root (it
 * makes files and offers them).
 */
#include "copy_hostile.h"

#include "../copy/receiver.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static const char *const paths[] = {"/dst",       "/dst/",     "/dst/new",     "/dst/new/",
                                      "/dst/dir/.", "/dst/fifo", "/forbidden/x", "/dst/loop"};
  static struct channel channel;
  static struct failure own, peer;
  struct input input = {.at = data, .left = size};
  char path[128], forbidden_path[128];
  int ends[2];
  uint8_t how = input_byte(&input);
  bool is_host = how % 2 == 0;
  hostile_place();
  const uint64_t before = open_descriptors();
  must(mkdirat(top, "root/forbidden", 0755) == 0);
  scratch_write(top, "content", "content of a large file", 23);
  int content = openat(top, "content", O_RDWR | O_CLOEXEC);
  must(content >= 0 && socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
  while (input.left > 0) hostile_say(&input, ends[1], content);
  shutdown(ends[1], SHUT_WR);
  snprintf(forbidden_path, sizeof forbidden_path, "%s/root/forbidden", scratch_path);
  snprintf(path, sizeof path, "%s%s%s", is_host ? scratch_path : "", is_host ? "/root" : "",
           paths[(how >> 1) % 8]);
  const char *const forbidden[] = {forbidden_path, NULL};
  const struct output_rules rules = {.mask = is_host ? 01777 : 07777, .uid = OUTPUT_KEEP, .gid = (gid_t)-1};
  struct place place = {.root = -1, .home = "/"};
  char root[128];
  snprintf(root, sizeof root, "%s/root", scratch_path);
  if (!is_host) must(place_directory(&place, root) == 0);
  memset(&own, 0, sizeof own);
  memset(&peer, 0, sizeof peer);
  channel_init(&channel, ends[0], is_host);
  receive_tree(&channel, &place, path, &rules, forbidden, &own, &peer);
  must(channel.descriptor < 0 || is_host);
  if (channel.descriptor >= 0) close(channel.descriptor);
  if (!is_host) close(place.root);
  close(ends[0]);
  close(ends[1]);
  close(content);
  outside_check(top, 3);
  int made = openat(top, "root", O_RDONLY | O_DIRECTORY | O_CLOEXEC),
      closed = openat(made, "forbidden", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  look_through(made, 1000, check_made, &rules.mask);
  must(count_entries(closed) == 2);
  close(closed);
  close(made);
  must(open_descriptors() == before);
  return 0;
}
