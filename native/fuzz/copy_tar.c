/*
 * Unpacking an archive of anybody below a directory: nothing outside is touched, whatever it names and
 * whatever links it brings or finds.
 */
#include "copy_hostile.h"
#include "tar_fields.h"

#include "../copy/files.h"
#include "../copy/tar.h"

static struct files_stream stream;

static void send_frame(int socket, uint32_t type, const void *bytes, uint32_t length) {
  const uint32_t header[2] = {type, length};
  must(write(socket, header, sizeof header) == (ssize_t)sizeof header);
  if (length > 0) must(write(socket, bytes, length) == (ssize_t)length);
}

/*
 * An entry is a byte (its low half: the kind; 15: bytes as they are; bit 4: a wrong checksum), two bytes
 * mode, a name, a link, and content, each with its length in a byte, and two bytes that are added to the size
 * that is told.
 */
static void say(struct input *input, int socket) {
  struct tar_header header = {.type = 0};
  size_t name_length, link_length, length;
  uint8_t kind = input_byte(input);
  if ((kind & 15) == 15) {
    const uint8_t *piece = input_take(input, input_byte(input), &length);
    send_frame(socket, FILES_DATA, piece, (uint32_t)length);
    return;
  }
  header.type = TAR_KINDS[kind & 15];
  put_octal(header.mode, sizeof header.mode, input_number(input, 2) & 07777);
  const uint8_t *name = input_take(input, input_byte(input) % sizeof header.name, &name_length);
  memcpy(header.name, name, name_length);
  const uint8_t *link = input_take(input, input_byte(input) % sizeof header.link, &link_length);
  memcpy(header.link, link, link_length);
  const uint8_t *content = input_take(input, input_byte(input), &length);
  put_octal(header.size, sizeof header.size, length + (kind & 32 ? input_number(input, 2) : 0));
  memcpy(header.magic, "ustar", 6);
  put_checksum(&header, kind & 16 ? 1 : 0);
  send_frame(socket, FILES_DATA, &header, sizeof header);
  if (length == 0) return;
  unsigned char padded[TAR_BLOCK] = {0};
  memcpy(padded, content, length);
  send_frame(socket, FILES_DATA, padded, sizeof padded);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct input input = {.at = data, .left = size};
  struct place place;
  char root[128];
  int ends[2];
  uint8_t how = input_byte(&input);
  hostile_place();
  const uint64_t before = open_descriptors();
  must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
  for (int count = 0; input.left > 0 && count < 100; count++) say(&input, ends[1]);
  if (how & 1) send_frame(ends[1], FILES_END, NULL, 0);
  shutdown(ends[1], SHUT_WR);
  snprintf(root, sizeof root, "%s/root", scratch_path);
  must(place_directory(&place, root) == 0);
  memset(&stream, 0, sizeof stream);
  stream.socket = ends[0];
  tar_receive(&stream, &place, how & 2 ? "/dst/dir" : "/dst");
  close(place.root);
  close(ends[0]);
  close(ends[1]);
  outside_check(top, 2);
  int made = openat(top, "root", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  /* its modes are the archive's, without set-id bits */
  look_through(made, PATH_MAX, check_made, &(const mode_t){01777});
  must(count_entries(made) == 4);
  close(made);
  must(open_descriptors() == before);
  return 0;
}
