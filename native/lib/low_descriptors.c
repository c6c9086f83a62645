#include "low_descriptors.h"

#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdbool.h>
#include <sys/syscall.h>
#include <unistd.h>

/* As many starts at a time as Node's pool has threads. */
#define SETS 4
/* Where numbers this high are the lowest free ones nothing would be gained. */
#define HIGHEST 512

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static enum { UNTRIED, RESERVED, IMPOSSIBLE } state;
static int null_fd;
static int reserved[SETS][LOW_DESCRIPTORS];
static bool is_taken[SETS];
static unsigned int limit;

/*
 * All stay open at /dev/null while nobody has them, so that no other file of this process gets their numbers.
 * Once, at the first start.
 */
static void reserve(void) {
  state = IMPOSSIBLE;
  /* a filter of system calls that does not know it */
  if (syscall(SYS_close_range, UINT_MAX, UINT_MAX, 0) < 0) return;
  null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
  int highest = null_fd, count = 0;
  int *numbers = &reserved[0][0];
  while (highest >= 0 && highest < HIGHEST && count < SETS * LOW_DESCRIPTORS) {
    int number = fcntl(null_fd, F_DUPFD_CLOEXEC, 3);
    if (number >= 0) numbers[count++] = number;
    highest = number < 0 || number > highest ? number : highest;
  }
  if (highest >= 0 && highest < HIGHEST) {
    limit = (unsigned int)highest + 1;
    state = RESERVED;
    return;
  }
  while (count > 0) close(numbers[--count]);
  if (null_fd >= 0) close(null_fd);
}

static int take_set(void) {
  int found = -1;
  pthread_mutex_lock(&lock);
  if (state == UNTRIED) reserve();
  for (int set = 0; state == RESERVED && found < 0 && set < SETS; set++)
    if (!is_taken[set]) found = set;
  if (found >= 0) is_taken[found] = true;
  pthread_mutex_unlock(&lock);
  return found;
}

int low_descriptors_take(struct low_descriptors *low, const int32_t *descriptors, uint32_t count,
                         uint32_t step) {
  if (count > LOW_DESCRIPTORS) return 0;
  low->set = take_set();
  if (low->set < 0) return 0;
  low->limit = limit;
  for (uint32_t i = 0; i < count; i++) {
    low->numbers[i] = reserved[low->set][i];
    if (dup3(descriptors[i * step], low->numbers[i], O_CLOEXEC) < 0) {
      low_descriptors_give_back(low);
      return 0;
    }
  }
  return 1;
}

void low_descriptors_give_back(const struct low_descriptors *low) {
  bool is_free = true;
  for (int i = 0; i < LOW_DESCRIPTORS; i++)
    is_free = dup3(null_fd, reserved[low->set][i], O_CLOEXEC) >= 0 && is_free;
  /* a set that could not be closed is lost: what is left in it is nobody else's */
  pthread_mutex_lock(&lock);
  is_taken[low->set] = !is_free;
  pthread_mutex_unlock(&lock);
}
