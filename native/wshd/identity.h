/*
 * Who a container's users are on the host: a user namespace with a private range of ids.
 *
 * The child builds the root with the host's rights, in namespaces that belong to the host, and enters the
 * user namespace last. So nothing inside ever has rights over its own mounts, network or host name, whatever
 * capabilities a process there holds in the user namespace.
 */
#ifndef WSHD_IDENTITY_H
#define WSHD_IDENTITY_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define ID_RANGES_MAX 16
#define ID_NONE 0xffffffffu

/* `count` ids from `inside` on are those from `outside` on on the host. */
struct id_range {
  uint32_t inside, outside, count;
};

/* Ids inside to ids on the host; without ranges they are the same. */
struct id_map {
  struct id_range ranges[ID_RANGES_MAX];
  size_t count;
};

/* The host's id, or ID_NONE for one that is not mapped. */
uint32_t id_outside(const struct id_map *map, uint32_t inside);

/*
 * Exchanges what `one` and `other` are mapped to: a file of the image's `one` then belongs to whom `other` is
 * inside, and the other way round. Answers -1 when there is no room for the pieces.
 */
int id_map_swap(struct id_map *map, uint32_t one, uint32_t other);

/*
 * A new user namespace, as a descriptor. Answers -1 with errno. It leaves a killed process, which
 * identity_reap() collects.
 */
int identity_create(const struct id_map *users, const struct id_map *groups);

/* Waits for the ends of those. */
void identity_reap(void);

/*
 * Files made from now on belong to these ids of the host; all other rights stay. 0, 0 undoes it. Answers -1
 * with errno.
 */
int identity_act(uid_t uid, gid_t gid);

/* Becomes root of the user namespace, with the rights it has there. For good. Answers -1 with errno. */
int identity_enter(int user_namespace);

/*
 * Limits this process, and the bounding set of all it will start, to `capabilities`. Answers -1 with errno.
 */
int identity_limit(uint64_t capabilities);

#endif
