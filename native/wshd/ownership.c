#include "ownership.h"

#include "accounts.h"
#include "descriptor.h"
#include "format.h"
#include "inroot.h"
#include "report.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LOWER "lowerdir="

/* Where the option's value begins and ends; NULL if it is not there. A backslash protects what follows it. */
static const char *find_lower(const char *data, const char **end) {
  for (const char *word = data; *word != '\0';) {
    const char *stop = word;
    while (*stop != '\0' && *stop != ',') stop += stop[0] == '\\' && stop[1] != '\0' ? 2 : 1;
    if (strncmp(word, LOWER, sizeof LOWER - 1) == 0) {
      *end = stop;
      return word + sizeof LOWER - 1;
    }
    word = *stop == '\0' ? stop : stop + 1;
  }
  return NULL;
}

char *ownership_overlay_base(const char *data) {
  const char *end, *from = find_lower(data, &end);
  char *base = from == NULL ? NULL : malloc((size_t)(end - from) + 1), *to = base;
  for (; base != NULL && from < end; from++) {
    if (*from == ':') { /* several layers */
      free(base);
      return NULL;
    }
    if (*from == '\\' && from + 1 < end) from++;
    *to++ = *from;
  }
  if (base != NULL) *to = '\0';
  return base;
}

char **ownership_overlay_layers(const char *data) {
  const char *end, *from = find_lower(data, &end);
  if (from == NULL) return NULL;
  size_t count = 1;
  for (const char *at = from; at < end; at++) {
    if (at[0] == '\\' && at + 1 < end) at++;
    else if (at[0] == ':') count++;
  }
  char **layers = malloc((count + 1) * sizeof *layers + (size_t)(end - from) + 1);
  if (layers == NULL) return NULL;
  char *to = (char *)(layers + count + 1);
  layers[0] = to;
  layers[count] = NULL;
  for (size_t i = 0; from < end; from++) {
    if (*from == ':') {
      *to++ = '\0';
      layers[++i] = to;
      continue;
    }
    if (*from == '\\' && from + 1 < end) from++;
    *to++ = *from;
  }
  *to = '\0';
  return layers;
}

char *ownership_overlay_rebased(const char *data, const char *lower) {
  const char *end, *from = find_lower(data, &end);
  size_t size = strlen(data) + strlen(lower) + 1;
  char *rebased = from == NULL ? NULL : malloc(size);
  if (rebased == NULL) return NULL;
  size_t head = (size_t)(from - data);
  memcpy(rebased, data, head);
  format(rebased + head, size - head, "%s%s", lower, end);
  return rebased;
}

/* What the files of accounts say; either may be missing. */
static bool ask(struct ownership *ownership, const struct plan_user *user, const char *passwd,
                const char *group) {
  struct account account;
  gid_t gid;
  ownership->known = true;
  /*
   * The two numbers are exchanged: so each file still has an owner, and a file of the image that happens to
   * have the container's number does not become the user's. What belongs to root stays root's, whoever else
   * has the number 0.
   */
  bool uid_differs = passwd != NULL && account_find(passwd, user->name, &account) && account.uid != 0 &&
                     account.uid != user->uid;
  bool gid_differs =
      group != NULL && account_find_gid(group, user->name, &gid) && gid != 0 && gid != user->gid;
  /* with few ranges, as a plan has, there is always room for the pieces */
  bool swapped = uid_differs && id_map_swap(&ownership->users, account.uid, user->uid) == 0;
  swapped = (gid_differs && id_map_swap(&ownership->groups, gid, user->gid) == 0) || swapped;
  ownership->differs = ownership->differs || swapped;
  return swapped;
}

bool ownership_ask(struct ownership *ownership, const struct plan_user *user, int root) {
  size_t length;
  char *passwd = inroot_read(root, "/etc/passwd", ACCOUNT_FILE_MAX, &length),
       *group = inroot_read(root, "/etc/group", ACCOUNT_FILE_MAX, &length);
  bool swapped = ask(ownership, user, passwd, group);
  free(passwd);
  free(group);
  return swapped;
}

/* The file as the uppermost layer has it that has one at all. */
static char *read_of_layers(char *const *layers, const char *path) {
  char *text = NULL;
  for (; *layers != NULL && text == NULL; layers++) {
    size_t length;
    int root = open_path(*layers, O_PATH | O_DIRECTORY);
    if (root < 0) continue;
    text = inroot_read(root, path, ACCOUNT_FILE_MAX, &length);
    close(root);
  }
  return text;
}

static bool ask_layers(struct ownership *ownership, const struct plan_user *user, char *const *layers) {
  char *passwd = read_of_layers(layers, "/etc/passwd"), *group = read_of_layers(layers, "/etc/group");
  bool swapped = ask(ownership, user, passwd, group);
  free(passwd);
  free(group);
  return swapped;
}

void ownership_prepare(struct ownership *ownership, const struct plan *plan, int users) {
  const struct plan_mount *first = &plan->mounts[0];
  *ownership =
      (struct ownership){.mapping = users, .users = plan->ids, .groups = plan->ids, .differs = users >= 0};
  if (plan->user.name == NULL) return;
  char **layers = strcmp(first->type, "overlay") == 0 ? ownership_overlay_layers(first->data) : NULL;
  int root = layers == NULL && (first->flags & MS_BIND) != 0
                 ? open_path(first->source, O_PATH | O_DIRECTORY)
                 : -1;
  if (layers == NULL && root < 0) return;
  bool swapped = layers != NULL ? ask_layers(ownership, &plan->user, layers)
                                : ownership_ask(ownership, &plan->user, root);
  free(layers);
  if (root >= 0) close(root);
  /* where there can be none, files are changed one by one */
  if (swapped) ownership->mapping = identity_create(&ownership->users, &ownership->groups);
}

int ownership_mapped(const struct ownership *ownership, const char *path) {
  struct mount_attr attr = {.attr_set = MOUNT_ATTR_IDMAP | MOUNT_ATTR_RDONLY,
                            .propagation = MS_PRIVATE,
                            .userns_fd = (uint64_t)(unsigned)ownership->mapping};
  if (ownership->mapping < 0) return -1;
  int tree = (int)syscall(SYS_open_tree, AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
  if (tree >= 0 && syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH, &attr, sizeof attr) == 0) return tree;
  if (tree >= 0) close(tree);
  return -1;
}

/* A file with several names, as it was when the first of them was changed. */
struct linked {
  ino_t inode; /* 0: a free place */
  dev_t device;
  uid_t uid;
  gid_t gid;
};

/*
 * By inode and device, at most half full. For the length of one walk: it stays within one mount, but that of
 * an overlay may show files of several devices, each with numbers of its own.
 */
static struct {
  struct linked *places;
  size_t size, count;
} links;

static struct linked *find_link(ino_t inode, dev_t device) {
  size_t at = (size_t)(inode * 0x9e3779b97f4a7c15u) & (links.size - 1);
  while (links.places[at].inode != 0 &&
         (links.places[at].inode != inode || links.places[at].device != device))
    at = (at + 1) & (links.size - 1);
  return &links.places[at];
}

static int grow_links(void) {
  struct linked *old = links.places;
  size_t old_size = links.size, size = old_size == 0 ? 64 : old_size * 2;
  struct linked *larger = calloc(size, sizeof *larger);
  if (larger == NULL) return -1;
  links.places = larger;
  links.size = size;
  for (size_t i = 0; i < old_size; i++)
    if (old[i].inode != 0) *find_link(old[i].inode, old[i].device) = old[i];
  free(old);
  return 0;
}

/*
 * Ids are exchanged, so a file that is met twice would be changed back. An overlay gives each name a file of
 * its own when it is written, under the number of the common one: there the second name still has the old
 * owner, and its turn is to come. -1 without memory.
 */
static int is_changed_already(const struct stat *facts, bool *changed) {
  *changed = false;
  if (S_ISDIR(facts->st_mode) || facts->st_nlink < 2) return 0;
  if (links.count * 2 >= links.size && grow_links() != 0) return -1;
  struct linked *place = find_link(facts->st_ino, facts->st_dev);
  if (place->inode != 0) {
    *changed = place->uid != facts->st_uid || place->gid != facts->st_gid;
    return 0;
  }
  *place = (struct linked){
      .inode = facts->st_ino, .device = facts->st_dev, .uid = facts->st_uid, .gid = facts->st_gid};
  links.count++;
  return 0;
}

/* An id that the map does not know stays: nobody inside has it. */
static int change_one(const struct ownership *ownership, int directory, const char *name,
                      const struct stat *facts) {
  uint32_t uid = id_outside(&ownership->users, facts->st_uid),
           gid = id_outside(&ownership->groups, facts->st_gid);
  bool same_uid = uid == ID_NONE || uid == facts->st_uid, same_gid = gid == ID_NONE || gid == facts->st_gid;
  bool changed;
  if (is_changed_already(facts, &changed) != 0) return -1;
  if (changed || (same_uid && same_gid)) return 0;
  if (fchownat(directory, name, same_uid ? (uid_t)-1 : uid, same_gid ? (gid_t)-1 : gid,
               AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) != 0)
    return -1;
  /*
   * the kernel takes these bits away when an owner changes; they mean the new one, as in the image they meant
   * the old
   */
  if (S_ISREG(facts->st_mode) && (facts->st_mode & (S_ISUID | S_ISGID)) != 0)
    return fchmodat(directory, name, facts->st_mode & 07777, 0);
  return 0;
}

int ownership_change_one(const struct ownership *ownership, int directory) {
  struct stat facts;
  return fstat(directory, &facts) != 0 ? -1 : change_one(ownership, directory, "", &facts);
}

/* What has failed stays in errno. */
static int close_failed(int directory) {
  const int failed = errno;
  close(directory);
  errno = failed;
  return -1;
}

/*
 * `inner`: a directory that is to be looked through, or -1. Other mounts are not entered: each has its own
 * turn, or is somebody else's.
 */
static int change_entry(const struct ownership *ownership, int directory, const char *name, int *inner) {
  struct open_how how = {.flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC,
                         .resolve = RESOLVE_NO_XDEV | RESOLVE_NO_SYMLINKS | RESOLVE_BENEATH};
  struct stat facts;
  *inner = -1;
  if (fstatat(directory, name, &facts, AT_SYMLINK_NOFOLLOW) != 0) return -1;
  if (!S_ISDIR(facts.st_mode)) return change_one(ownership, directory, name, &facts);
  const int found = (int)syscall(SYS_openat2, directory, name, &how, sizeof how);
  if (found < 0) return errno == EXDEV ? 0 : -1;
  if (fstat(found, &facts) == 0 && change_one(ownership, found, "", &facts) == 0) {
    *inner = found;
    return 0;
  }
  return close_failed(found);
}

/* From the top to the directory that is being looked through. */
struct path {
  DIR **lists;
  size_t depth, room;
};

static int make_room(struct path *path) {
  if (path->depth < path->room) return 0;
  const size_t room = path->room == 0 ? 32 : path->room * 2;
  DIR **larger = realloc(path->lists, room * sizeof *larger);
  if (larger == NULL) return -1;
  path->lists = larger;
  path->room = room;
  return 0;
}

/* Takes the descriptor, whatever comes of it. */
static int enter(struct path *path, int directory) {
  DIR *list = make_room(path) == 0 ? fdopendir(directory) : NULL;
  if (list == NULL) return close_failed(directory);
  path->lists[path->depth++] = list;
  return 0;
}

/*
 * Takes the descriptor. Not by recursion: how deep it goes is up to whoever made the tree, and this process's
 * stack is not. What ends first is the number of descriptors, which is an error like others.
 */
static int change_below(const struct ownership *ownership, int directory) {
  struct path path = {0};
  int result = enter(&path, directory);
  if (result != 0) report_errno("owner", "directory");
  while (result == 0 && path.depth > 0) {
    DIR *list = path.lists[path.depth - 1];
    const struct dirent *entry = readdir(list);
    if (entry == NULL) {
      closedir(list);
      path.depth--;
      continue;
    }
    if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
    int inner;
    result = change_entry(ownership, dirfd(list), entry->d_name, &inner);
    if (result == 0 && inner >= 0) result = enter(&path, inner);
    if (result != 0) report_errno("owner", entry->d_name);
  }
  while (path.depth > 0) closedir(path.lists[--path.depth]);
  free(path.lists);
  return result;
}

int ownership_change(const struct ownership *ownership, int directory) {
  struct rlimit before, all;
  struct stat facts;
  int copy = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (copy < 0 || fstat(copy, &facts) != 0 || change_one(ownership, copy, "", &facts) != 0)
    return report_errno("owner", ".");
  /* each level of the tree holds a descriptor */
  if (prlimit(0, RLIMIT_NOFILE, NULL, &before) != 0) return report_errno("owner", "RLIMIT_NOFILE");
  all = (struct rlimit){.rlim_cur = before.rlim_max, .rlim_max = before.rlim_max};
  prlimit(0, RLIMIT_NOFILE, &all, NULL);
  int result = change_below(ownership, copy);
  prlimit(0, RLIMIT_NOFILE, &before, NULL);
  free(links.places);
  links.places = NULL;
  links.size = links.count = 0;
  return result;
}
