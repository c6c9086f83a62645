/*
 * The header block of a tar archive (POSIX ustar). Numbers are octal text, or with the first bit set binary,
 * as GNU writes large ones.
 */
#ifndef COPY_TAR_H
#define COPY_TAR_H

#define TAR_BLOCK 512
#define TAR_PATH_MAX 65536 /* longest name taken or given */

struct tar_header {
  char name[100], mode[8], uid[8], gid[8], size[12], mtime[12], checksum[8], type, link[100], magic[6],
      version[2], user[32], group[32], major[8], minor[8], prefix[155], padding[12];
};

_Static_assert(sizeof(struct tar_header) == TAR_BLOCK, "a header is a block");

#endif
