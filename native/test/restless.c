/*
 * Processes that a kill of their tree is hard on, for wshd_test.py: `restless tree` passes its life on from
 * child to child, in a few lines; `restless wake` goes on waking everybody it may. Both say when they have
 * gone on for a while. It runs in a root without any library.
 */
#include <signal.h>
#include <string.h>
#include <unistd.h>

#define LINES 3
#define WHILE 500

_Noreturn static void wake(void) {
  for (int call = 0; call < WHILE; call++) kill(-1, SIGCONT);
  if (write(STDOUT_FILENO, "up\n", 3) != 3) _exit(1);
  for (;;) kill(-1, SIGCONT);
}

/* One process of the line at a time, but for the moment in which there are two. */
_Noreturn static void pass_on(void) {
  for (int generation = 0;; generation++) {
    if (generation == WHILE && write(STDOUT_FILENO, "up\n", 3) != 3) _exit(1);
    if (fork() != 0) _exit(0);
  }
}

int main(int argc, char **argv) {
  if (argc != 2) return 2;
  if (strcmp(argv[1], "wake") == 0) wake();
  for (int line = 0; line < LINES; line++)
    if (fork() == 0) pass_on();
  for (;;) pause();
}
