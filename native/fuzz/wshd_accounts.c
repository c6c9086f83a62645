/* /etc/passwd and /etc/group of a root file system that may be hostile: name NUL passwd NUL group. */
#include "fuzz.h"

#include "../wshd/accounts.h"

static size_t count_lines(const char *text) {
  size_t count = 0;
  for (; *text != '\0'; text++) count += *text == '\n' || text[1] == '\0';
  return count;
}

/* Whether a line of `text` is not in `changed`, though it is not one of the user's. */
static bool lost_a_line(const char *text, const char *changed, const char *name) {
  size_t name_length = strlen(name);
  while (*text != '\0') {
    size_t length = strcspn(text, "\n");
    size_t field = strcspn(text, ":\n");
    if (field != name_length || memcmp(text, name, field) != 0) {
      const char *at = changed;
      while (*at != '\0' && (strcspn(at, "\n") != length || memcmp(at, text, length) != 0))
        at += strcspn(at, "\n") + (at[strcspn(at, "\n")] != '\0');
      if (*at == '\0' && length > 0) return true;
    }
    text += length + (text[length] != '\0');
  }
  return false;
}

static void check_user(const char *passwd, const char *group, const struct plan_user *user) {
  struct account account;
  char *changed = accounts_with_user(passwd, user);
  if (changed != NULL) {
    must(account_find(changed, user->name, &account) && account.uid == user->uid && account.gid == user->gid);
    must(!lost_a_line(passwd, changed, user->name) && count_lines(changed) <= count_lines(passwd) + 1);
    char *again = accounts_with_user(changed, user);
    must(again != NULL && strcmp(again, changed) == 0);
    free(again);
  }
  free(changed);
  gid_t gid;
  changed = accounts_with_group(group, user);
  must(changed != NULL && account_find_gid(changed, user->name, &gid) && gid == user->gid &&
       !lost_a_line(group, changed, user->name));
  char *again = accounts_with_group(changed, user);
  must(again != NULL && strcmp(again, changed) == 0);
  free(again);
  free(changed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct input input = {.at = data, .left = size};
  char *name = input_text(&input, '\0'), *passwd = input_text(&input, '\0'),
       *group = input_text(&input, '\0');
  struct account account;
  gid_t gid;
  if (account_find(passwd, name, &account)) {
    must(strcmp(account.name, name) == 0 && account.uid != (uid_t)-1 && account.gid != (gid_t)-1 &&
         strchr(account.home, '\n') == NULL);
    account_find_groups(group, &account);
    must(account.group_count >= 1 && account.group_count <= ACCOUNT_GROUPS_MAX &&
         account.groups[0] == account.gid);
    for (size_t i = 1; i < account.group_count; i++)
      must(account.groups[i] != account.gid && account.groups[i] != (gid_t)-1);
  }
  if (account_find_gid(group, name, &gid)) must(gid != (gid_t)-1);
  /* what plan.c lets through as the name of the unprivileged user, which sizes accounts can hold */
  if (name[0] != '\0' && strlen(name) < sizeof account.name && strpbrk(name, ":\n") == NULL) {
    const struct plan_user user = {.name = name,
                                   .home = (char *)(uintptr_t) "/home/u",
                                   .shell = (char *)(uintptr_t) "/bin/sh",
                                   .uid = 10000,
                                   .gid = 10001};
    check_user(passwd, group, &user);
  }
  free(name);
  free(passwd);
  free(group);
  return 0;
}
