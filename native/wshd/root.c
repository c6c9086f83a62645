#include "root.h"

#include "descriptor.h"
#include "format.h"
#include "inroot.h"
#include "report.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/mount.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

/* <sys/mount.h> and <linux/mount.h> cannot be included together. */
int mount(const char *source, const char *target, const char *type, unsigned long flags, const void *data);
int umount2(const char *target, int flags);
#ifndef MNT_DETACH
#define MNT_DETACH 2
#endif

static const struct plan_device standard_devices[] = {
    {.name = (char *)"null", .mode = S_IFCHR | 0666, .major = 1, .minor = 3},
    {.name = (char *)"zero", .mode = S_IFCHR | 0666, .major = 1, .minor = 5},
    {.name = (char *)"full", .mode = S_IFCHR | 0666, .major = 1, .minor = 7},
    {.name = (char *)"random", .mode = S_IFCHR | 0666, .major = 1, .minor = 8},
    {.name = (char *)"urandom", .mode = S_IFCHR | 0666, .major = 1, .minor = 9},
    {.name = (char *)"tty", .mode = S_IFCHR | 0666, .major = 5, .minor = 0},
};
#define TTY_GROUP 5
/*
 * Files in /dev: what is there and room for links of a program's own. An inode is no byte of a tmpfs, so its
 * size does not limit them.
 */
#define DEV_FILES 1024
#define KIB_PER_FILE 4
#define STANDARD_DEVICES (sizeof standard_devices / sizeof *standard_devices)

static const struct plan_symlink standard_links[] = {
    {(char *)"pts/ptmx", (char *)"ptmx"}, {(char *)"/proc/self/fd", (char *)"fd"},
    {(char *)"fd/0", (char *)"stdin"},    {(char *)"fd/1", (char *)"stdout"},
    {(char *)"fd/2", (char *)"stderr"},
};

static int move_to(int tree, int target) {
  return (int)syscall(SYS_move_mount, tree, "", target, "",
                      MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH);
}

static int make_node(struct dev *dev, const struct plan_device *device) {
  if (mknodat(dev->tree, device->name, device->mode, makedev(device->major, device->minor)) == 0) return 0;
  if (errno != EPERM) return -1;
  dev->lacks_nodes = true;
  int fd = openat(dev->tree, device->name, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0666);
  return fd < 0 ? -1 : close(fd);
}

static const struct plan_device *device_at(const struct plan *plan, size_t i) {
  return i < STANDARD_DEVICES ? &standard_devices[i] : &plan->devices[i - STANDARD_DEVICES];
}

static int mount_dev(const struct plan *plan) {
  int context = (int)syscall(SYS_fsopen, "tmpfs", FSOPEN_CLOEXEC);
  if (context < 0) return report_errno("dev", "tmpfs");
  char size[32], files[32];
  format(size, sizeof size, "%uk", plan->dev_kib);
  format(files, sizeof files, "%u", DEV_FILES);
  if (syscall(SYS_fsconfig, context, FSCONFIG_SET_STRING, "mode", "0755", 0) != 0 ||
      syscall(SYS_fsconfig, context, FSCONFIG_SET_STRING, "size", size, 0) != 0 ||
      syscall(SYS_fsconfig, context, FSCONFIG_SET_STRING, "nr_inodes", files, 0) != 0 ||
      syscall(SYS_fsconfig, context, FSCONFIG_CMD_CREATE, NULL, NULL, 0) != 0) {
    report_errno("dev", "tmpfs");
    close(context);
    return -1;
  }
  int dev = (int)syscall(SYS_fsmount, context, FSMOUNT_CLOEXEC, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC);
  close(context);
  return dev < 0 ? report_errno("dev", "tmpfs") : dev;
}

static int fill_dev(const struct plan *plan, struct dev *dev) {
  for (size_t i = 0; i < STANDARD_DEVICES + plan->device_count; i++)
    if (make_node(dev, device_at(plan, i)) != 0) return report_errno("dev", device_at(plan, i)->name);
  /* the group that may write to terminals, as devpts(5) has it too */
  if (fchownat(dev->tree, "tty", id_outside(&plan->ids, 0), id_outside(&plan->ids, TTY_GROUP),
               AT_SYMLINK_NOFOLLOW) != 0)
    return report_errno("dev", "tty");
  for (size_t i = 0; i < sizeof standard_links / sizeof *standard_links; i++)
    if (symlinkat(standard_links[i].content, dev->tree, standard_links[i].path) != 0)
      return report_errno("dev", standard_links[i].path);
  if (mkdirat(dev->tree, "pts", 0555) != 0 || mkdirat(dev->tree, "shm", 01777) != 0)
    return report_errno("dev", "pts");
  return 0;
}

struct dev root_make_dev(const struct plan *plan) {
  const uint32_t inner = id_outside(&plan->ids, 0);
  struct dev dev = {-1, false};
  const mode_t mask = umask(0); /* modes are meant exactly */
  if (identity_act(inner, inner) != 0) report_errno("dev", "owner");
  else if ((dev.tree = mount_dev(plan)) >= 0 && fill_dev(plan, &dev) != 0) dev.tree = -1;
  umask(mask);
  if (identity_act(0, 0) != 0) dev.tree = report_errno("dev", "owner");
  return dev;
}

static void path_of(int fd, char *path, size_t size) { format(path, size, "/proc/self/fd/%d", fd); }

/* MS_* of a bind mount as attributes of mount_setattr(2). */
static uint64_t attributes(unsigned long flags) {
  return (flags & MS_RDONLY ? MOUNT_ATTR_RDONLY : 0u) | (flags & MS_NOSUID ? MOUNT_ATTR_NOSUID : 0u) |
         (flags & MS_NODEV ? MOUNT_ATTR_NODEV : 0u) | (flags & MS_NOEXEC ? MOUNT_ATTR_NOEXEC : 0u);
}

/*
 * A read-only part of the base, shown with its new owners. False where the kernel cannot: it is then bound as
 * it is.
 */
static bool bind_mapped(const struct plan_mount *mount_spec, int target, const struct ownership *ownership) {
  int tree = ownership_mapped(ownership, mount_spec->source);
  if (tree < 0) return false;
  struct mount_attr attr = {.attr_set = attributes(mount_spec->flags)};
  bool bound = syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH, &attr, sizeof attr) == 0 &&
               move_to(tree, target) == 0;
  close(tree);
  return bound;
}

/*
 * The copy of a tree gets its attributes before it is visible anywhere. With `users` its owners are those
 * with the same numbers there, where its file system can be seen so; elsewhere it stays as it is, and its
 * owners are nobody inside.
 */
static int bind_at(const struct plan_mount *mount_spec, int target, int users) {
  unsigned recursive = mount_spec->flags & MS_REC ? AT_RECURSIVE : 0;
  int tree = (int)syscall(SYS_open_tree, AT_FDCWD, mount_spec->source,
                          OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | recursive);
  if (tree < 0) return -1;
  struct mount_attr attr = {.attr_set = attributes(mount_spec->flags), .propagation = MS_PRIVATE};
  if (mount_spec->flags & MS_NOATIME) {
    attr.attr_clr = MOUNT_ATTR__ATIME;
    attr.attr_set |= MOUNT_ATTR_NOATIME;
  }
  int result = (int)syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH | recursive, &attr, sizeof attr);
  struct mount_attr seen = {.attr_set = MOUNT_ATTR_IDMAP, .userns_fd = (uint64_t)(unsigned)users};
  if (result == 0 && mount_spec->idmap && users >= 0)
    syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH | recursive, &seen, sizeof seen);
  if (result == 0) result = move_to(tree, target);
  close_keeping_errno(tree);
  return result;
}

static int mount_at(const struct plan_mount *one, int target, int users) {
  if (one->flags & MS_BIND) return bind_at(one, target, users);
  char path[64];
  path_of(target, path, sizeof path);
  return mount(one->source, path, one->type, one->flags, one->data);
}

static int perform(const struct plan_mount *one, int root, int users) {
  int target = one->create == CREATE_NOTHING
                   ? inroot_open(root, one->target, O_PATH, 0)
                   : inroot_make(root, one->target, one->create == CREATE_DIRECTORY);
  if (target < 0) return report_errno("mount-target", one->target);
  int result = mount_at(one, target, users);
  if (result != 0) {
    /* a failing bind mount is nearly always about its source, any other about what is mounted */
    report_errno("mount", one->flags & MS_BIND ? one->source : one->target);
  }
  close(target);
  return result;
}

/* A file system of init's own at `path`, which is made if the root lacks it. */
static int mount_own(int root, const char *path, const char *type, unsigned long flags, const char *data) {
  int target = inroot_make(root, path, true);
  if (target < 0) return report_errno("mount-target", path);
  char by_fd[64];
  path_of(target, by_fd, sizeof by_fd);
  int result = mount(type, by_fd, type, flags, data);
  if (result != 0) report_errno("mount", path);
  close(target);
  return result;
}

static int mount_terminals(const struct plan *plan, int root) {
  char data[96];
  size_t length = format(data, sizeof data, "newinstance,ptmxmode=0666,mode=0620,gid=%u",
                         id_outside(&plan->ids, TTY_GROUP));
  /* the kernel's own limit is for all containers together */
  if (plan->terminals != 0) format(data + length, sizeof data - length, ",max=%u", plan->terminals);
  return mount_own(root, "/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, data);
}

static int mount_shared_memory(const struct plan *plan, int root) {
  char data[96];
  size_t length = format(data, sizeof data, "mode=1777");
  if (plan->shm_kib != 0)
    format(data + length, sizeof data - length, ",size=%uk,nr_inodes=%u", plan->shm_kib,
           plan->shm_kib / KIB_PER_FILE + 16);
  return mount_own(root, "/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, data);
}

/* The kernel makes the directory of terminals the host root's; inside it is to have an owner too. */
static int own_terminals(const struct plan *plan, int root) {
  const uint32_t inner = id_outside(&plan->ids, 0);
  int pts = inroot_open(root, "/dev/pts", O_PATH | O_DIRECTORY | O_NOFOLLOW, 0);
  if (pts < 0) return report_errno("dev", "/dev/pts");
  int result = fchownat(pts, "", inner, inner, AT_EMPTY_PATH) == 0 &&
                       fchownat(pts, "ptmx", inner, inner, AT_SYMLINK_NOFOLLOW) == 0
                   ? 0
                   : report_errno("dev", "/dev/pts");
  close(pts);
  return result;
}

/* Jobs expect one. A root that is read-only goes without. */
static void make_tmp(int root) {
  int tmp = inroot_open(root, "/tmp", O_PATH, 0);
  if (tmp >= 0) close(tmp);
  else if (errno == ENOENT && mkdirat(root, "tmp", 0700) == 0) fchmodat(root, "tmp", 01777, 0);
}

/* Nodes that could not be made are the host's, bound over the empty files. */
static int bind_missing_nodes(const struct plan *plan, int root) {
  for (size_t i = 0; i < STANDARD_DEVICES + plan->device_count; i++) {
    char path[300];
    struct stat facts;
    format(path, sizeof path, "/dev/%s", device_at(plan, i)->name);
    int target = inroot_open(root, path, O_PATH | O_NOFOLLOW, 0);
    if (target < 0 || fstat(target, &facts) != 0) return report_errno("dev", path);
    struct plan_mount bind = {.source = path, .flags = MS_BIND | MS_NOSUID | MS_NOEXEC};
    int result = S_ISREG(facts.st_mode) ? bind_at(&bind, target, -1) : 0;
    if (result != 0) report_errno("dev", path);
    close(target);
    if (result != 0) return -1;
  }
  return 0;
}

/*
 * The base with its new owners goes to where the root will be, and the overlay, whose lower layer it is, on
 * top of it: so it needs no place of its own. Answers the descriptor to mount at, `target` itself where there
 * is nothing to map, and sets `data`.
 */
static int map_lower_layer(const struct plan_mount *first, const char *directory, int target,
                           const struct ownership *ownership, char **data) {
  char *base = ownership->mapping >= 0 && strcmp(first->type, "overlay") == 0
                   ? ownership_overlay_base(first->data)
                   : NULL;
  int tree = base == NULL ? -1 : ownership_mapped(ownership, base);
  free(base);
  if (tree < 0) return target;
  int moved = move_to(tree, target);
  close(tree);
  if (moved != 0) return target;
  close(target);
  *data = ownership_overlay_rebased(first->data, directory);
  return *data == NULL ? -1 : open_path(directory, O_PATH | O_DIRECTORY);
}

/* One of several layers at `directory`/`number`, with its new owners if there are any. */
static int mount_layer(const char *layer, const char *directory, size_t number,
                       const struct ownership *ownership) {
  char place[4096];
  if (format(place, sizeof place, "%s/%u", directory, (unsigned)number) >= sizeof place ||
      mkdir(place, 0700) != 0)
    return -1;
  int tree = ownership->mapping >= 0
                 ? ownership_mapped(ownership, layer)
                 : (int)syscall(SYS_open_tree, AT_FDCWD, layer, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
  int target = tree < 0 ? -1 : open_path(place, O_PATH | O_DIRECTORY);
  int result = target < 0 ? -1 : move_to(tree, target);
  if (tree >= 0) close(tree);
  if (target >= 0) close(target);
  return result;
}

/* Into the small file system at `directory`; as stack_layers(). */
static int place_layers(const struct plan_mount *first, const char *directory, char *const *layers,
                        const struct ownership *ownership, char **data) {
  char lower[4096];
  size_t length = 0;
  for (size_t i = 0; layers[i] != NULL; i++) {
    if (mount_layer(layers[i], directory, i, ownership) != 0) return -1;
    length +=
        format(lower + length, sizeof lower - length, "%s%s/%u", i == 0 ? "" : ":", directory, (unsigned)i);
    if (length >= sizeof lower) return -1;
  }
  *data = ownership_overlay_rebased(first->data, lower);
  return *data == NULL ? -1 : open_path(directory, O_PATH | O_DIRECTORY);
}

/*
 * Several layers get places of their own, in a small file system where the root will be, and the overlay goes
 * on top of that: so each can show the new owners, and their paths are short, of which the kernel takes a
 * page. Answers the descriptor to mount at and sets `data`; -1 where the kernel cannot.
 */
static int stack_layers(const struct plan_mount *first, const char *directory, char *const *layers,
                        const struct ownership *ownership, char **data) {
  if (mount("layers", directory, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "size=64k,mode=0700") != 0)
    return -1;
  const int place = place_layers(first, directory, layers, ownership, data);
  if (place < 0) umount2(directory, MNT_DETACH);
  return place;
}

/* As map_lower_layer, for an overlay that may have several of them. `mapped`: its owners are the new ones. */
static int place_lower_layers(const struct plan_mount *first, const char *directory, int target,
                              const struct ownership *ownership, char **data, bool *mapped) {
  char **layers = strcmp(first->type, "overlay") == 0 ? ownership_overlay_layers(first->data) : NULL;
  bool several = layers != NULL && layers[1] != NULL;
  int place = several ? stack_layers(first, directory, layers, ownership, data)
                      : map_lower_layer(first, directory, target, ownership, data);
  free(layers);
  *mapped = *data != NULL && (!several || ownership->mapping >= 0);
  if (!several || place >= 0) {
    if (several) close(target);
    return place;
  }
  free(*data); /* as they are: the overlay by their own paths, and file by file */
  *data = NULL;
  *mapped = false;
  return target;
}

/* Whether the mount shows the new owners without further work. */
static int mount_root(const struct plan_mount *first, const char *directory,
                      const struct ownership *ownership, bool *mapped) {
  int place = open_path(directory, O_PATH | O_DIRECTORY), result;
  if (place < 0) return report_errno("root", directory);
  char *data = NULL;
  *mapped = (first->flags & MS_BIND) != 0 && (first->flags & MS_RDONLY) != 0 &&
            bind_mapped(first, place, ownership);
  if (*mapped) {
    close(place);
    return 0;
  }
  int target = place_lower_layers(first, directory, place, ownership, &data, mapped);
  struct plan_mount mapped_first = *first;
  if (data != NULL) mapped_first.data = data;
  result = target < 0 ? -1 : mount_at(&mapped_first, target, -1);
  if (result != 0) report_errno("mount", first->flags & MS_BIND ? first->source : "/");
  if (target >= 0) close(target);
  free(data);
  return result;
}

/* A part that can be written, and was not mapped, is changed file by file; a read-only one stays as it is. */
static int change_owners(const struct ownership *ownership, const struct plan_mount *one, int root) {
  if (!ownership->differs || (one->flags & MS_RDONLY) != 0) return 0;
  int directory = inroot_open(root, one->target, O_PATH | O_DIRECTORY, 0);
  if (directory < 0) return errno == ENOTDIR ? 0 : report_errno("owner", one->target);
  int result = ownership_change(ownership, directory);
  close(directory);
  return result;
}

/* The mounts of the file-system driver. */
static int mount_parts(const struct plan *plan, int root, const struct ownership *ownership) {
  for (size_t i = 1; i < plan->mount_count; i++) {
    const struct plan_mount *one = &plan->mounts[i];
    if (one->create != CREATE_NOTHING) continue;
    unsigned long read_only_bind = MS_BIND | MS_RDONLY;
    int target = (one->flags & read_only_bind) == read_only_bind && ownership->mapping >= 0
                     ? inroot_open(root, one->target, O_PATH, 0)
                     : -1;
    bool mapped = target >= 0 && bind_mapped(one, target, ownership);
    if (target >= 0) close(target);
    if (!mapped && (perform(one, root, -1) != 0 || change_owners(ownership, one, root) != 0)) return -1;
  }
  return 0;
}

static int copy_of(int fd) {
  return (int)syscall(SYS_open_tree, fd, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH);
}

/*
 * A copy of the mount at `fd`, or of the part of it that lies there, with `attr`, moved to `target`. Answers
 * a descriptor of it there.
 */
static int cover(int fd, uint64_t attr_set, int target) {
  int tree = copy_of(fd);
  if (tree < 0) return -1;
  struct mount_attr attr = {.attr_set = attr_set, .propagation = MS_PRIVATE};
  if (syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH, &attr, sizeof attr) == 0 &&
      move_to(tree, target) == 0)
    return tree;
  close_keeping_errno(tree);
  return -1;
}

/*
 * What stands in place of what must not be seen, by descriptor: no path of the root is followed for it. `own`
 * is the first mount of it, once there is one: its copies have its attributes from the beginning. Nor do they
 * share what is mounted on one of them, since nothing in this mount namespace is shared (main.c).
 */
struct substitute {
  int what, own;
  uint64_t attr;
};

static int put(struct substitute *substitute, int target) {
  if (substitute->own < 0) {
    substitute->own = cover(substitute->what, substitute->attr, target);
    return substitute->own < 0 ? -1 : 0;
  }
  int tree = copy_of(substitute->own);
  if (tree < 0) return -1;
  int result = move_to(tree, target);
  close_keeping_errno(tree);
  return result;
}

static int mask(int target, struct substitute *file, struct substitute *directory) {
  struct stat facts;
  if (fstat(target, &facts) != 0) return -1;
  return put(S_ISDIR(facts.st_mode) ? directory : file, target);
}

static int make_read_only(int target) {
  int tree = cover(target, MOUNT_ATTR_RDONLY, target);
  return tree < 0 ? -1 : close(tree);
}

/*
 * Each of `count` paths; one that is missing is nothing to hide, for kernels differ in what they show. With
 * `file` and `directory` they are put in their places, without they become read-only.
 */
static int restrict_each(char *const *paths, size_t count, int root, struct substitute *file,
                         struct substitute *directory) {
  for (size_t i = 0; i < count; i++) {
    int target = inroot_open(root, paths[i], O_PATH | O_NOFOLLOW, 0);
    if (target < 0 && errno == ENOENT) continue;
    if (target < 0 || (file != NULL ? mask(target, file, directory) : make_read_only(target)) != 0)
      return report_errno("mask", paths[i]);
    close(target);
  }
  return 0;
}

/*
 * Under the null device, and directories under `empty`, which is one of the container's /dev: as a file
 * system of its own it would be among those that the kernel goes through at the end of each memory group.
 */
static int mask_paths(const struct plan *plan, int root, int empty) {
  const uint64_t attr = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC;
  struct stat facts;
  int null = inroot_open(root, "/dev/null", O_PATH | O_NOFOLLOW, 0);
  struct substitute file = {null, -1, attr}, directory = {empty, -1, attr | MOUNT_ATTR_NODEV};
  bool is_null =
      null >= 0 && fstat(null, &facts) == 0 && S_ISCHR(facts.st_mode) && facts.st_rdev == makedev(1, 3);
  int result = is_null ? restrict_each(plan->masked, plan->masked_count, root, &file, &directory)
                       : report_errno("mask", "/dev/null");
  if (null >= 0) close(null);
  if (file.own >= 0) close(file.own);
  if (directory.own >= 0) close(directory.own);
  return result;
}

/* What of /proc belongs to the host alone. */
static int restrict_paths(const struct plan *plan, int root, int empty) {
  if (plan->masked_count > 0 && mask_paths(plan, root, empty) != 0) return -1;
  return restrict_each(plan->readonly, plan->readonly_count, root, NULL, NULL);
}

/* Of the /proc that was mounted just now, and of no other. */
static int open_settings(int root) {
  struct statfs facts;
  int settings = inroot_open(root, "/proc/sys", O_PATH | O_DIRECTORY | O_NOFOLLOW, 0);
  if (settings < 0 || fstatfs(settings, &facts) != 0) return report_errno("mount", "/proc/sys");
  if (facts.f_type == PROC_SUPER_MAGIC) return settings;
  errno = EXDEV;
  return report_errno("mount", "/proc/sys");
}

int root_assemble(const struct plan *plan, const char *directory, const struct dev *dev,
                  struct ownership *ownership, int *settings) {
  bool mapped = false;
  if (mount_root(&plan->mounts[0], directory, ownership, &mapped) != 0) return -1;
  int root = open_path(directory, O_PATH | O_DIRECTORY);
  if (root < 0) return report_errno("root", directory);
  if (!ownership->known && plan->user.name != NULL) ownership_ask(ownership, &plan->user, root);
  if ((!mapped && change_owners(ownership, &plan->mounts[0], root) != 0) ||
      mount_parts(plan, root, ownership) != 0)
    return -1;
  /* the top directory of an overlay is the upper layer's, which is not mapped */
  if (mapped && strcmp(plan->mounts[0].type, "overlay") == 0 && ownership_change_one(ownership, root) != 0)
    return report_errno("owner", "/");
  /* what is made in the root from here on is its root's, as if it had been made inside */
  const uint32_t inner = id_outside(&plan->ids, 0);
  if (identity_act(inner, inner) != 0) return report_errno("root", "owner");
  make_tmp(root);
  if (mount_own(root, "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) != 0) return -1;
  if ((*settings = open_settings(root)) < 0) return -1;
  int place = inroot_make(root, "/dev", true);
  if (place < 0) return report_errno("mount-target", "/dev");
  if (move_to(dev->tree, place) != 0) return report_errno("mount", "/dev");
  close(place);
  /* empty for ever: the terminals cover it */
  int empty = openat(dev->tree, "pts", O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (empty < 0) return report_errno("mask", "/dev/pts");
  close(dev->tree);
  if ((dev->lacks_nodes && bind_missing_nodes(plan, root) != 0) || mount_terminals(plan, root) != 0 ||
      own_terminals(plan, root) != 0 || mount_shared_memory(plan, root) != 0 ||
      restrict_paths(plan, root, empty) != 0)
    return -1;
  close(empty);
  for (size_t i = 0; i < plan->symlink_count; i++) {
    char name[256];
    int parent = inroot_parent(root, plan->symlinks[i].path, name, sizeof name);
    if (parent < 0 || (symlinkat(plan->symlinks[i].content, parent, name) != 0 && errno != EEXIST))
      return report_errno("symlink", plan->symlinks[i].path);
    close(parent);
  }
  return root;
}

int root_bind(const struct plan *plan, int root, int users) {
  for (size_t i = 1; i < plan->mount_count; i++)
    if (plan->mounts[i].create != CREATE_NOTHING && perform(&plan->mounts[i], root, users) != 0) return -1;
  return 0;
}

int root_pivot(int root) {
  if (fchdir(root) != 0) return report_errno("pivot", "/");
  /* with "." for both, the old root is stacked on the new one and needs no place in it */
  if (syscall(SYS_pivot_root, ".", ".") != 0) return report_errno("pivot", "/");
  if (umount2(".", MNT_DETACH) != 0) return report_errno("pivot", "old root");
  if (chdir("/") != 0) return report_errno("pivot", "/");
  close(root);
  return 0;
}

int root_pivot_keeping(int root) {
  char place[64];
  int old = open_path("/", O_PATH | O_DIRECTORY), target = inroot_make(root, "/mnt", true);
  if (old < 0 || target < 0) return report_errno("pivot", "/mnt");
  path_of(target, place, sizeof place);
  if (fchdir(root) != 0 || syscall(SYS_pivot_root, ".", place) != 0 || chdir("/") != 0)
    return report_errno("pivot", "/mnt");
  close(target);
  close(root);
  return old;
}

int root_forget(int old) {
  /* by descriptor: what a path leads to may have been changed by the hook */
  if (fchdir(old) != 0 || umount2(".", MNT_DETACH) != 0 || chdir("/") != 0)
    return report_errno("pivot", "old root");
  close(old);
  return 0;
}

/* Sets or clears noexec. */
static int set_noexec(int fd, bool forbid) {
  struct mount_attr attr = {.attr_set = forbid ? MOUNT_ATTR_NOEXEC : 0,
                            .attr_clr = forbid ? 0 : MOUNT_ATTR_NOEXEC};
  return (int)syscall(SYS_mount_setattr, fd, "", AT_EMPTY_PATH, &attr, sizeof attr);
}

int *root_forbid_programs(const struct plan *plan, int root) {
  int *quiet = calloc(plan->mount_count, sizeof *quiet);
  if (quiet == NULL) {
    report_errno("pivot", "memory");
    return NULL;
  }
  for (size_t i = 0; i < plan->mount_count; i++) {
    struct statvfs facts;
    quiet[i] = inroot_open(root, plan->mounts[i].target, O_PATH, 0);
    if (quiet[i] < 0 || fstatvfs(quiet[i], &facts) != 0) {
      report_errno("pivot", plan->mounts[i].target);
      return NULL;
    }
    if ((facts.f_flag & ST_NOEXEC) != 0) {
      close(quiet[i]);
      quiet[i] = -1;
    } else if (set_noexec(quiet[i], true) != 0) {
      report_errno("pivot", plan->mounts[i].target);
      return NULL;
    }
  }
  return quiet;
}

int root_allow_programs(const struct plan *plan, int *quiet) {
  for (size_t i = 0; i < plan->mount_count; i++) {
    if (quiet[i] < 0) continue;
    if (set_noexec(quiet[i], false) != 0) return report_errno("pivot", plan->mounts[i].target);
    close(quiet[i]);
  }
  free(quiet);
  return 0;
}
