/* Time that nobody sets: it goes on from somewhere. */
#ifndef WSHD_CLOCK_H
#define WSHD_CLOCK_H

#include <stdint.h>
#include <time.h>

static inline int64_t monotonic_ms(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (int64_t)time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

#endif
