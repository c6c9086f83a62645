/*
 * New files and links of the destination. A name shows the old content or the new one, whatever happens in
 * between.
 */
#ifndef COPY_OUTPUT_H
#define COPY_OUTPUT_H

#include <stdbool.h>
#include <sys/types.h>

#define OUTPUT_PREFIX ".warden-copy." /* of names that exist for a moment */
#define OUTPUT_KEEP ((uid_t)-1)
/*
 * Mode bits that a file brings along when it changes hands. What runs with the rights of its owner or group
 * was meant for the old one, and who receives it, not who sends it, sees to that.
 */
#define OUTPUT_MODES 01777

/* What is done to everything that is made. */
struct output_rules {
  mode_t mask; /* mode bits that may arrive */
  uid_t uid;   /* OUTPUT_KEEP: as it is */
  gid_t gid;
};

struct output {
  int fd; /* -1: none is open */
  bool is_named;
  char temporary[sizeof OUTPUT_PREFIX + 32];
};

/* A signal that ends the process removes what has a temporary name. Call once. */
void output_init(void);

/* Opens a file that has no name yet, or a temporary one in `directory`. */
int output_open(struct output *output, int directory);
/*
 * Owner and mode, then the name; something else that stands there is replaced as rsync does it. Closes it in
 * any case.
 */
int output_finish(struct output *output, int directory, const char *name, mode_t mode,
                  const struct output_rules *rules);
void output_drop(struct output *output, int directory);

int output_link(int directory, const char *name, const char *target, const struct output_rules *rules);

/*
 * Makes way for a directory (`for_directory`: files and links go) or for anything else (an empty directory
 * goes). 0: nothing is in the way any more or what is there may be replaced by rename(2); -1 with EEXIST: a
 * device, pipe or socket, which is never replaced; ENOTEMPTY.
 */
int output_make_way(int directory, const char *name, bool for_directory);

#endif
