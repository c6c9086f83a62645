/*
 * Layers that are trees already: a container's writable one becomes a layer of an image, or a layer is put
 * upon a whole tree.
 */
#ifndef UNPACK_CAPTURE_H
#define UNPACK_CAPTURE_H

#include "accounts.h"
#include "tree.h"

/* What is in `from`, as a layer in `to`, with the owners that `accounts` says. -1 with the failure noted. */
int capture(struct tree *to, int from, const struct accounts *accounts);

/*
 * What `from` changes is changed in `to`: nothing is hidden any more, it is gone. -1 with the failure noted.
 */
int apply(struct tree *to, int from);

#endif
