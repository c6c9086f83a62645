/* The standard streams of a job, while it is started. */
#ifndef WSHD_STREAMS_H
#define WSHD_STREAMS_H

#include "init.h"

/*
 * `job` ones become 0, 1, 2 of the job, `client` ones leave by SCM_RIGHTS, `kept` ones and `input` stay with
 * init. -1: none.
 */
struct ends {
  int job[3], client[3], kept[2], input;
  int start; /* a prepared job waits until this is closed, see prepared.h */
  size_t client_count;
};
#define ENDS_NONE                                                                                            \
  { .job = {-1, -1, -1}, .kept = {-1, -1}, .input = -1, .start = -1 }

/* -1: nothing to close. */
void close_if(int fd);
/* An empty memory file. */
int input_make(void);
/* Fills it, so that it is read from its beginning and nobody can change it any more. 0, or -1 and errno. */
int input_put(int fd, const unsigned char *bytes, size_t length);
/*
 * Opens all that the request asks for. On failure answers -1, errno set; what was opened so far is in `ends`.
 */
int ends_open(const struct init *init, const struct spawn_request *request, struct ends *ends);
/* The two output pipes alone. As ends_open(). */
int ends_open_output(const struct spawn_request *request, struct ends *ends);
/* Whether so many descriptors are left that clients can still come: 0, or -1 and EMFILE. */
int ends_leave_enough(const struct init *init, const struct ends *ends);
/* The job has its own. */
void ends_close_job(struct ends *ends);
/* Keeps errno. */
void ends_close(struct ends *ends);

#endif
