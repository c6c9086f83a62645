#include "inside.h"

#include "format.h"
#include "report.h"
#include "setting.h"

#include <errno.h>
#include <unistd.h>

/*
 * The kernel would allow 32,000 queues of 16 KiB and 32,000 sets of semaphores, with or without a limit of
 * memory.
 */
#define QUEUES 512
#define SEMAPHORES "32000 256000 500 1024" /* of a set, of all sets, operations of a call, sets */

/* /proc shows the writer's own namespace. A kernel without System V objects has nothing to limit. */
static int write_limit(int settings, const char *path, const char *value) {
  return setting_write_own(settings, path, value) == 0 || errno == ENOENT ? 0 : report_errno("ipc", path);
}

/* 4, or 16 and 64 on some kernels of aarch64. */
static unsigned kib_per_page(void) { return (unsigned)sysconf(_SC_PAGESIZE) / 1024; }

int inside_ipc(const struct plan *plan, int settings) {
  char pages[16], queues[16];
  if (plan->shm_kib == 0) return 0;
  format(pages, sizeof pages, "%u", plan->shm_kib / kib_per_page());
  format(queues, sizeof queues, "%u", QUEUES);
  if (write_limit(settings, "/proc/sys/kernel/shmall", pages) != 0 ||
      write_limit(settings, "/proc/sys/kernel/msgmni", queues) != 0)
    return -1;
  return write_limit(settings, "/proc/sys/kernel/sem", SEMAPHORES);
}
