/* The role that has the source: walks it and describes it to the receiver. */
#ifndef COPY_SENDER_H
#define COPY_SENDER_H

#include "channel.h"
#include "place.h"

/*
 * Sends `path` with rsync's meaning of its end: `x` is the file or directory x, `x/`, `x/.` and `x/..` are
 * the content of a directory. Links are sent as links; devices, pipes and sockets are left out. What cannot
 * be read is noted in `own` and left out. Answers when the receiver has said what failed there, `peer`.
 */
void send_tree(struct channel *channel, const struct place *place, const char *path, struct failure *own,
               struct failure *peer);

#endif
