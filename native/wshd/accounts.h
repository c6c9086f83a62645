/* /etc/passwd and /etc/group of the container, read and written without NSS. */
#ifndef WSHD_ACCOUNTS_H
#define WSHD_ACCOUNTS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "plan.h"

#define ACCOUNT_GROUPS_MAX 64
#define ACCOUNT_FILE_MAX (1 << 20)

struct account {
  char name[256], home[1024], shell[1024];
  uid_t uid;
  gid_t gid;
  gid_t groups[ACCOUNT_GROUPS_MAX];
  size_t group_count;
};

/* Finds `name` in the text of a passwd file. A line that is malformed or does not fit is not there. */
bool account_find(const char *passwd, const char *name, struct account *account);
/* Whether getpwuid(3) finds `account` by its number: of several with that number the first in the file. */
bool account_is_first(const char *passwd, const struct account *account);
/* Adds the supplementary groups of `account` from the text of a group file. */
void account_find_groups(const char *group, struct account *account);

/*
 * The text of a passwd (group) file with `user` in it: an existing entry of that name is renumbered,
 * otherwise one is added. NULL without memory. The caller frees it.
 */
char *accounts_with_user(const char *passwd, const struct plan_user *user);
char *accounts_with_group(const char *group, const struct plan_user *user);

/* The number of a group. */
bool account_find_gid(const char *group, const char *name, gid_t *gid);

#endif
