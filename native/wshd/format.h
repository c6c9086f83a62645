/*
 * Text and numbers without stdio: its printf(3) and strtol(3) bring floating point and streams along, a
 * quarter of the whole program.
 */
#ifndef WSHD_FORMAT_H
#define WSHD_FORMAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * As snprintf(3) with %s, %d, %u and %%: always terminated, cut when it does not fit; answers the whole
 * length.
 */
size_t format(char *into, size_t size, const char *pattern, ...) __attribute__((format(printf, 3, 4)));

/* A line of at most 2 KB on standard error, by one write(2). */
void complain(const char *pattern, ...) __attribute__((format(printf, 1, 2)));

/* The number that the first `length` bytes are, all of them digits of `base` (up to 16) and at most `max`. */
bool parse_number(const char *text, size_t length, unsigned base, uint64_t max, uint64_t *value);

#endif
