/*
 * A layer from its archive, in the form in which the kernel's union wants it: what is deleted is a device
 * 0:0, what hides all below carries a mark.
 */
#ifndef UNPACK_LAYER_H
#define UNPACK_LAYER_H

#include "tree.h"

/* Reads the archive to its end. -1 with the failure noted. */
int layer_unpack(struct tree *tree, int archive);

#endif
