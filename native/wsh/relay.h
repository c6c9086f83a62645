/* Carries bytes between the operator's descriptors 0, 1, 2 and a job until the job has ended. */
#ifndef WSH_RELAY_H
#define WSH_RELAY_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

struct relay {
  int socket; /* to init, for the job's EXIT */
  uint32_t job_id;
  int input; /* the job's standard input; a pty master is input and output at once */
  int output;
  int errors; /* -1 with a pty */
  bool is_terminal;
  sigset_t waiting; /* signal mask while waiting; SIGWINCH gets through with a terminal */
};

/* Answers the wait status of the job, or -errno; -ECONNRESET: init is gone. Closes the job's descriptors. */
int relay_run(struct relay *relay, int *status);

#endif
