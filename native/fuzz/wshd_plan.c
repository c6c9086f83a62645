/*
 * etc/fstab and etc/wshd.conf: the first byte says which. What is reported is one line that the daemon can
 * take apart.
 */
#include "fuzz.h"

#include "../wshd/plan.h"
#include "../wshd/report.h"

#include <errno.h>
#include <sys/socket.h>

static int reports[2] = {-1, -1};

static void check_report(void) {
  char packet[8192];
  unsigned words = 0;
  ssize_t got = recv(reports[0], packet, sizeof packet - 1, MSG_DONTWAIT);
  must(got > 0);
  packet[got] = '\0';
  must(strlen(packet) == (size_t)got && strncmp(packet, "error plan ", 11) == 0);
  /*
   * error <stage> <errno> <exit> <object> <text>: five blanks separate the words, and the object holds none
   */
  const char *at = packet;
  for (; words < 5 && (at = strchr(at, ' ')) != NULL; at++) words++;
  must(words == 5);
  must(recv(reports[0], packet, sizeof packet, MSG_DONTWAIT) < 0);
}

static void check_mounts(const struct plan *plan) {
  must(plan->mount_count > 0 && strcmp(plan->mounts[0].target, "/") == 0);
  for (size_t i = 0; i < plan->mount_count; i++) {
    const struct plan_mount *mount = &plan->mounts[i];
    must(mount->source[0] != '\0' && mount->target[0] == '/' && mount->type[0] != '\0' &&
         mount->data != NULL);
  }
}

static void check_conf(const struct plan *plan) {
  for (size_t i = 0; i < plan->file_count; i++)
    must(plan->files[i].target[0] == '/' && plan->files[i].source != NULL && plan->files[i].mode <= 07777);
  for (size_t i = 0; i < plan->device_count; i++) must(strchr(plan->devices[i].name, '/') == NULL);
  must((plan->hostname == NULL || plan->hostname[0] != '\0') &&
       (plan->interface == NULL || plan->interface[0] != '\0'));
  for (size_t i = 0; i < plan->masked_count; i++) must(plan->masked[i][0] != '\0');
  for (size_t i = 0; i < plan->symlink_count; i++) must(plan->symlinks[i].path[0] == '/');
  must(plan->nice >= -20 && plan->nice <= 20 && plan->mtu <= 65535 && plan->prefix_length <= 32 &&
       plan->hook_timeout > 0);
  must(plan->ids.count <= ID_RANGES_MAX - 4);
  for (size_t i = 0; i < plan->ids.count; i++) {
    const struct id_range *range = &plan->ids.ranges[i];
    must(range->count > 0 && range->outside != 0 && (uint64_t)range->inside + range->count <= ID_NONE &&
         (uint64_t)range->outside + range->count <= ID_NONE);
    must(id_outside(&plan->ids, range->inside) != 0);
  }
  if (plan->user.name != NULL)
    must(plan->user.home != NULL && plan->user.shell != NULL && strchr(plan->user.name, ':') == NULL &&
         strchr(plan->user.name, '\n') == NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (reports[0] < 0) {
    must(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, reports) == 0);
    report_open(reports[1]);
  }
  struct input input = {.at = data, .left = size};
  bool is_fstab = input_byte(&input) % 2 == 0;
  char *text = input_text(&input, '\0');
  struct plan plan = {0};
  int result = is_fstab ? plan_parse_fstab(&plan, text) : plan_parse_conf(&plan, text);
  if (result != 0) check_report();
  else if (is_fstab) check_mounts(&plan);
  else check_conf(&plan);
  /* a plan is never freed in the program, whose process it becomes */
  free(plan.mounts);
  free(plan.files);
  free(plan.devices);
  free(plan.symlinks);
  free(plan.cgroups);
  free(plan.masked);
  free(plan.readonly);
  free(text);
  return 0;
}
