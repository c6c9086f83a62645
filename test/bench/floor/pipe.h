/* One program's bytes, read by another. */
#ifndef FLOOR_PIPE_H
#define FLOOR_PIPE_H

#include <stdbool.h>

/*
 * Gigabytes per second that one program hands to another through a pipe of a mebibyte, which the other reads
 * a mebibyte at a time into memory that it uses again: what the kernel gives a reader. With `is_lent` the
 * pages of a file in memory are put into the pipe (sendfile), which lies below `directory` and has no name;
 * else they are copied into new ones (write). Negative where it does not work.
 */
double pipe_rate(const char *directory, bool is_lent, unsigned mebibytes);

#endif
