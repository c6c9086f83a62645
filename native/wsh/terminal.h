/* The operator's own terminal: raw while the job's pty is relayed, and never left raw. */
#ifndef WSH_TERMINAL_H
#define WSH_TERMINAL_H

#include <signal.h>
#include <stdbool.h>
#include <sys/ioctl.h>

/*
 * Puts the terminal on descriptor 0 into raw mode and arranges that exit(3) and SIGHUP, SIGINT, SIGQUIT,
 * SIGTERM restore it. SIGWINCH is blocked afterwards; *waiting is the signal mask for ppoll that lets it
 * through. 0 or -errno.
 */
int terminal_enter_raw(sigset_t *waiting);

/* Back to the mode before terminal_enter_raw. Idempotent, async-signal-safe. */
void terminal_restore(void);

/* The window size of descriptor 0; zeros when it is unknown. */
struct winsize terminal_size(void);

/* Whether SIGWINCH came since the last call. */
bool terminal_was_resized(void);

#endif
