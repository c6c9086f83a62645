/* Switches of the kernel: files below /proc and of control groups, into which one word is written. */
#ifndef WSHD_SETTING_H
#define WSHD_SETTING_H

/* 0, or -1 with errno: ENOENT where this kernel has no such switch. */
int setting_write(const char *path, const char *value);
/*
 * The same for a path below /proc/sys, opened by `settings`, which is that directory of the container's own
 * /proc. In the host's the kernel keeps what was looked up in each namespace in one list per name, and goes
 * through it at each look-up: with a thousand containers that takes milliseconds.
 */
int setting_write_own(int settings, const char *path, const char *value);

#endif
