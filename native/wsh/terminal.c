/* wsh, on the host: the local terminal. */
#include "terminal.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

static struct termios saved;
static volatile sig_atomic_t is_raw;
static volatile sig_atomic_t was_resized;

void terminal_restore(void) {
  if (!is_raw) return;
  is_raw = 0;
  /* TCSADRAIN would wait for a terminal that nobody reads */
  tcsetattr(STDIN_FILENO, TCSANOW, &saved);
}

/*
 * tcsetattr and raise are async-signal-safe; the handler is reset by SA_RESETHAND, so the second delivery
 * ends the process.
 */
static void restore_and_die(int signal) {
  terminal_restore();
  raise(signal);
}

static void note_resize(int signal) {
  (void)signal;
  was_resized = 1;
}

static int catch_signals(sigset_t *waiting) {
  static const int deadly[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM};
  struct sigaction action;
  sigset_t resize;

  memset(&action, 0, sizeof(action));
  sigemptyset(&action.sa_mask);
  action.sa_handler = restore_and_die;
  action.sa_flags = (int)SA_RESETHAND;
  for (size_t i = 0; i < sizeof(deadly) / sizeof(deadly[0]); i++)
    if (sigaction(deadly[i], &action, NULL) < 0) return -errno;

  action.sa_handler = note_resize;
  action.sa_flags = SA_RESTART;
  if (sigaction(SIGWINCH, &action, NULL) < 0) return -errno;
  sigemptyset(&resize);
  sigaddset(&resize, SIGWINCH);
  if (sigprocmask(SIG_BLOCK, &resize, waiting) < 0) return -errno;
  sigdelset(waiting, SIGWINCH);
  return 0;
}

int terminal_enter_raw(sigset_t *waiting) {
  struct termios raw;

  if (tcgetattr(STDIN_FILENO, &saved) < 0) return -errno;
  /* handlers first: a signal between the two calls must find them */
  int result = catch_signals(waiting);
  if (result < 0) return result;
  if (atexit(terminal_restore) != 0) return -ENOMEM;
  raw = saved;
  cfmakeraw(&raw);
  is_raw = 1;
  if (tcsetattr(STDIN_FILENO, TCSANOW, &raw) < 0) {
    is_raw = 0;
    return -errno;
  }
  return 0;
}

struct winsize terminal_size(void) {
  struct winsize size;

  memset(&size, 0, sizeof(size));
  if (ioctl(STDIN_FILENO, TIOCGWINSZ, &size) < 0) memset(&size, 0, sizeof(size));
  return size;
}

bool terminal_was_resized(void) {
  bool resized = was_resized;

  was_resized = 0;
  return resized;
}
