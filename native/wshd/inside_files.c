#include "inside.h"

#include "accounts.h"
#include "inroot.h"
#include "report.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MAX (1 << 20)

int inside_files(const struct plan *plan, int root) {
  for (size_t i = 0; i < plan->file_count; i++) {
    const struct plan_file *file = &plan->files[i];
    size_t length;
    int host = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    char *content = host < 0 ? NULL : inroot_read(host, file->source, FILE_MAX, &length);
    if (content == NULL) return report_errno("file", file->source);
    close(host);
    int result = inroot_replace(root, file->target, file->mode, content, length);
    free(content);
    if (result != 0) return report_errno("file", file->target);
  }
  return 0;
}

/* Rewrites an account file when `edit` changes it; one that is missing is made. */
static int edit(int root, const char *path, const struct plan_user *user, char *(*change)(const char *, const struct plan_user *)) {
  size_t length = 0;
  char *text = inroot_read(root, path, ACCOUNT_FILE_MAX, &length);
  if (text == NULL && errno == ENOENT) text = strdup("");
  if (text == NULL) return report_errno("user", path);
  char *changed = change(text, user);
  int result = changed == NULL ? -1 : 0;
  if (result == 0 && strcmp(changed, text) != 0) result = inroot_replace(root, path, 0644, changed, strlen(changed));
  if (result != 0) report_errno("user", path);
  free(changed);
  free(text);
  return result;
}

static int own_home(int root, const struct plan_user *user) {
  size_t length;
  struct account account;
  char *passwd = inroot_read(root, "/etc/passwd", ACCOUNT_FILE_MAX, &length);
  const char *home = passwd != NULL && account_find(passwd, user->name, &account) ? account.home : user->home;
  struct stat facts;
  int fd = inroot_make(root, home, true), result = 0;
  if (fd < 0 || fstat(fd, &facts) != 0) result = -1;
  else if (!S_ISDIR(facts.st_mode)) errno = ENOTDIR, result = -1;
  else if (facts.st_uid != user->uid || facts.st_gid != user->gid) result = fchownat(fd, "", user->uid, user->gid, AT_EMPTY_PATH);
  if (result != 0) report_errno("user", home);
  if (fd >= 0) close(fd);
  free(passwd);
  return result;
}

int inside_user(const struct plan *plan, int root) {
  const struct plan_user *user = &plan->user;
  if (user->name == NULL) return 0;
  if (edit(root, "/etc/passwd", user, accounts_with_user) != 0 || edit(root, "/etc/group", user, accounts_with_group) != 0) return -1;
  return own_home(root, user);
}
