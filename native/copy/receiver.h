/* The role that has the destination: makes what the sender describes, and believes nothing of it. */
#ifndef COPY_RECEIVER_H
#define COPY_RECEIVER_H

#include "channel.h"
#include "output.h"
#include "place.h"

/*
 * Receives into `path`, which means what it means to rsync: an existing directory is entered; otherwise its
 * last component is made as a directory for several files or with a slash at the end, and is the name of a
 * single one. `forbidden`: host directories in which nothing may be written, ended by NULL. What failed here
 * is noted in `own`; the sender has been told it; `peer` is what failed there.
 */
void receive_tree(struct channel *channel, const struct place *place, const char *path,
                  const struct output_rules *rules, const char *const *forbidden, struct failure *own,
                  struct failure *peer);

#endif
