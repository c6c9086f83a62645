/* Switches of the kernel: files below /proc and of control groups, into which one word is written. */
#ifndef WSHD_SETTING_H
#define WSHD_SETTING_H

/* 0, or -1 with errno: ENOENT where this kernel has no such switch. */
int setting_write(const char *path, const char *value);

#endif
