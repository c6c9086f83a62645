/*
 * Low numbers for the few descriptors that a child is to have.
 *
 * A child with a table of its own gets a copy of ours, with a reference to each open file, and gives all of
 * them back when it executes its program: with thousands open that is most of what a start takes. A child
 * that shares our table can leave it with the numbers up to some limit instead (CLOSE_RANGE_UNSHARE). So what
 * it is to have is put, for as long as it starts, at numbers that were reserved when few were in use.
 */
#ifndef WARDEN_LOW_DESCRIPTORS_H
#define WARDEN_LOW_DESCRIPTORS_H

#include <stdint.h>

#define LOW_DESCRIPTORS 2

struct low_descriptors {
  int set; /* internal */
  int32_t numbers[LOW_DESCRIPTORS];
  unsigned int limit; /* all are below */
};

/*
 * Puts copies of these at low numbers; their own are `step` apart in the list. Answers 0 when nothing is to
 * be had: too many, or all in use.
 */
int low_descriptors_take(struct low_descriptors *low, const int32_t *descriptors, uint32_t count,
                         uint32_t step);

/* Closes the copies; the numbers are for the next. */
void low_descriptors_give_back(const struct low_descriptors *low);

#endif
