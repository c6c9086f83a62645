#include "inside.h"

#include "accounts.h"
#include "descriptor.h"
#include "format.h"
#include "inroot.h"
#include "report.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MAX (1 << 20)

/*
 * /etc/hostname, for programs that read it instead of asking the kernel. One that says so already stays: the
 * root may be read-only.
 */
static int write_hostname(const char *hostname, int root) {
  static const char path[] = "/etc/hostname";
  char content[HOST_NAME_MAX + 2];
  /* it fits: sethostname(2) took it */
  size_t length = format(content, sizeof content, "%s\n", hostname), old_length;
  char *old = inroot_read(root, path, FILE_MAX, &old_length);
  bool same = old != NULL && strcmp(old, content) == 0;
  free(old);
  return same || inroot_replace(root, path, 0644, content, length) == 0 ? 0 : report_errno("file", path);
}

static int write_file(const struct plan_file *file, int host, int root) {
  size_t length;
  char *content = inroot_read(host, file->source, FILE_MAX, &length);
  if (content == NULL) return report_errno("file", file->source);
  int result = inroot_replace(root, file->target, file->mode, content, length);
  free(content);
  return result == 0 ? 0 : report_errno("file", file->target);
}

int inside_files(const struct plan *plan, int root) {
  if (plan->hostname != NULL && write_hostname(plan->hostname, root) != 0) return -1;
  int host = open_path(".", O_PATH | O_DIRECTORY), result = 0;
  if (host < 0) return report_errno("file", ".");
  for (size_t i = 0; i < plan->file_count && result == 0; i++)
    result = write_file(&plan->files[i], host, root);
  close(host);
  return result;
}

/* An account file; one that is missing is empty. */
static char *read_accounts(int root, const char *path) {
  size_t length = 0;
  char *text = inroot_read(root, path, ACCOUNT_FILE_MAX, &length);
  if (text == NULL && errno == ENOENT) text = strdup("");
  if (text == NULL) report_errno("user", path);
  return text;
}

/* Replaces an account file that was `text`, which is freed, when `change` makes something else of it. */
static int rewrite(int root, const char *path, char *text, const struct plan_user *user,
                   char *(*change)(const char *, const struct plan_user *)) {
  char *changed = change(text, user);
  int result = changed == NULL ? -1 : 0;
  if (result == 0 && strcmp(changed, text) != 0)
    result = inroot_replace(root, path, 0644, changed, strlen(changed));
  if (result != 0) report_errno("user", path);
  free(changed);
  free(text);
  return result;
}

static bool is_root(int root, const struct stat *facts) {
  struct stat top;
  return fstat(root, &top) != 0 || (facts->st_dev == top.st_dev && facts->st_ino == top.st_ino);
}

/*
 * Makes the home, or takes it over from the user's old number. The image decides where it is, so what stands
 * there may be anything: a link, the root, a system directory. Those are left as they are; so is a directory
 * of somebody else, unless the plan names it as the home.
 */
static int own_home(const struct plan *plan, int root, const char *home, const struct account *old) {
  const struct plan_user *user = &plan->user;
  uid_t uid = id_outside(&plan->ids, user->uid);
  gid_t gid = id_outside(&plan->ids, user->gid);
  struct stat facts;
  int fd = inroot_open(root, home, O_PATH | O_DIRECTORY | O_NOFOLLOW, 0);
  bool missing = fd < 0 && errno == ENOENT;
  if (missing) fd = inroot_make(root, home, true);
  if (fd < 0 && (errno == ENOTDIR || errno == ELOOP) && !missing) return 0;
  int result = fd < 0 || fstat(fd, &facts) != 0 ? -1 : 0;
  bool ours =
      result == 0 &&
      (missing || (old != NULL && old->uid != 0 && facts.st_uid == id_outside(&plan->ids, old->uid)) ||
       strcmp(home, user->home) == 0);
  if (ours && !is_root(root, &facts) && (facts.st_uid != uid || facts.st_gid != gid))
    result = fchownat(fd, "", uid, gid, AT_EMPTY_PATH);
  if (result != 0) report_errno("user", home);
  if (fd >= 0) close(fd);
  return result;
}

int inside_user(const struct plan *plan, int root) {
  const struct plan_user *user = &plan->user;
  if (user->name == NULL) return 0;
  struct account old;
  static const char passwd[] = "/etc/passwd", group[] = "/etc/group";
  char *text = read_accounts(root, passwd);
  if (text == NULL) return -1;
  bool known = account_find(text, user->name, &old);
  if (rewrite(root, passwd, text, user, accounts_with_user) != 0) return -1;
  text = read_accounts(root, group);
  if (text == NULL || rewrite(root, group, text, user, accounts_with_group) != 0) return -1;
  return own_home(plan, root, known && old.home[0] == '/' ? old.home : user->home, known ? &old : NULL);
}
