/*
 * The program's own file, which is shared by all containers and must not be changed from inside through
 * /proc/1/exe.
 */
#ifndef WSHD_IMAGE_H
#define WSHD_IMAGE_H

/*
 * Executes the program again from a detached read-only mount of its file, unless it runs from a read-only one
 * already. Container root can then neither write, chmod, nor set an attribute of what /proc/1/exe leads to
 * (CVE-2019-5736 and its relatives). Answers only in the second run (0) or on failure (-1, reported).
 */
int image_protect(char **argv);

#endif
