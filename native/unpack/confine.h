/*
 * The world of this program: a root that holds nothing but the trees it works on, no network, none of the
 * rights it does not need, and only those system calls that read, write and name files. What an archive might
 * bring it to do, it can do to its own tree alone.
 */
#ifndef UNPACK_CONFINE_H
#define UNPACK_CONFINE_H

#include <stddef.h>

#define TREES_MAX 130

/*
 * Opens the directories `paths`; the first may be written. The process's root is an empty one then.
 * Descriptors are put into `trees`. -1 with the failure noted.
 */
int confine(const char *const *paths, size_t count, int *trees);

#endif
