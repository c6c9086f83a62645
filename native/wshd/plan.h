/* What to build, read from etc/fstab and etc/wshd.conf before anything is touched. */
#ifndef WSHD_PLAN_H
#define WSHD_PLAN_H

#include "identity.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum mount_create { CREATE_NOTHING, CREATE_DIRECTORY, CREATE_FILE };

/* One line of fstab(5). `flags` are those of mount(2), `data` the words that are not flags. */
struct plan_mount {
  char *source, *target, *type, *data;
  unsigned long flags;
  enum mount_create create; /* given: an operator's bind mount, performed last */
  bool idmap;               /* ids of the source are those inside, where its file system can be seen so */
};

struct plan_file {
  char *target, *source;
  mode_t mode;
};

struct plan_device {
  char *name;
  mode_t mode; /* with S_IFCHR or S_IFBLK */
  unsigned major, minor;
};

struct plan_symlink {
  char *content, *path;
};

struct plan_user {
  char *name, *home, *shell;
  uid_t uid;
  gid_t gid;
};

struct plan {
  struct plan_mount *mounts;
  struct plan_file *files;
  struct plan_device *devices;
  struct plan_symlink *symlinks;
  char **cgroups;
  /* paths inside that show nothing, and that cannot be written; missing ones are left out */
  char **masked, **readonly;
  size_t mount_count, file_count, device_count, symlink_count, cgroup_count, masked_count, readonly_count;
  /* of the group with room for init beside the limit of processes, and back; NULL: none */
  char *reserve_outside, *reserve_inside;
  char *hostname, *interface;
  uint32_t address, gateway; /* network byte order, 0: none */
  unsigned prefix_length, mtu;
  unsigned char gateway_mac[6];
  bool has_gateway_mac;
  int nice;
  struct plan_user user; /* name NULL: none */
  uint64_t capabilities; /* bounding set of jobs */
  unsigned hook_timeout; /* seconds each hook may take */
  /* NULL: none, or the host's path of a static shell for the hook that runs in the new root */
  char *hook_shell;
  bool no_new_privs, seccomp;
  bool no_core_dumps; /* whatever limit a job asks for */
  /* of /dev/shm, and as much of System V shared memory; 0: the kernel's own idea of both */
  unsigned shm_kib;
  unsigned dev_kib;   /* of /dev */
  unsigned terminals; /* at a time; 0: the kernel's own idea */
  struct id_map ids;  /* of users and of groups; empty: no user namespace */
};

/*
 * Both parse a whole file that the caller keeps (they point into `text` and change it). On failure they
 * report file and line and answer -1. A plan is never freed: the process it belongs to ends or becomes init
 * with it.
 */
int plan_parse_fstab(struct plan *plan, char *text);
int plan_parse_conf(struct plan *plan, char *text);

/* Reads ./etc/wshd.conf and ./etc/fstab. */
int plan_load(struct plan *plan);

/*
 * Takes the next blank-separated field from *cursor and undoes its octal escapes in place. NULL at the end of
 * the line.
 */
char *plan_field(char **cursor);

#endif
