/*
 * USER, USER:GROUP, :GROUP as chown(1) reads them, from the host's own files: no name service runs in a
 * static program.
 */
#ifndef COPY_OWNER_H
#define COPY_OWNER_H

#include <stdbool.h>
#include <sys/types.h>

/*
 * Names come before numbers; `USER:` is the user and his login group; an empty part changes nothing. False
 * with errno: ENOENT: nobody has this name, EINVAL: not an owner at all. `etc` is the directory of passwd and
 * group.
 */
bool owner_parse(const char *text, const char *etc, uid_t *uid, gid_t *gid);

#endif
