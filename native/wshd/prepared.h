/*
 * A prepared job: a bash that has been started before anybody asked for it, so that whoever asks next for
 * what was just run waits for neither fork, exec nor the shell's own start.
 *
 * It stands in the reading of a first file, which bash(1) takes from BASH_ENV: a pipe that init holds open.
 * Its standard input is what every job's is, a memory file, into which the script is put before the pipe is
 * closed; so it reads, and whatever it starts finds there, what it would without having been prepared. What
 * the pipe has said undoes the difference, but for what is told at PRELUDE.
 *
 * There is one at most, and only while the container has no other process. Whatever else is asked for ends
 * it, with all it may have started, and waits for that before a job starts: only a program that means to hold
 * that up, for END_MILLISECONDS, can be seen by one. It ends by itself when its time is over, and with the
 * daemon that wanted it.
 */
#ifndef WSHD_PREPARED_H
#define WSHD_PREPARED_H

#include "init.h"
#include "streams.h"

/*
 * Starts what `request` says, but for its input, unless something runs in the container; what is prepared
 * already and the same gets more time. Takes what belongs to the request, whatever comes of it: nobody
 * depends on it.
 */
void prepared_start(struct init *init, struct spawn_request *request, uint32_t milliseconds);
/*
 * Gives the prepared process its input, and answers its number, with its streams in `ends`, and what it waits
 * for, to be closed. 0: there is none that is what `request` asks for; one that is something else has ended.
 */
pid_t prepared_take(struct init *init, const struct spawn_request *request, struct ends *ends);
/* A job is asked for, about which nothing was done yet. */
void prepared_asked(struct init *init);
/*
 * What `request` says is to be prepared at the end of its job, if no process is left then. Takes what belongs
 * to it. Nothing before that is expected any more.
 */
void prepared_expect(struct init *init, struct spawn_request *request);
/* That job has ended. */
void prepared_behind(struct init *init, uint32_t job_id);
/*
 * Everything that has ended was collected. What is expected starts, if it is time for that: at once, or when
 * whoever asked has the answer.
 */
void prepared_start_expected(struct init *init);
/*
 * Ends it, with all that it may have started, and waits for nothing; nothing is expected any more.
 * Idempotent.
 */
void prepared_drop(struct init *init);
/* A child has ended, which may have been it. */
void prepared_ended(struct init *init, pid_t pid);
/*
 * Ends it when its time is over, and starts what is expected when it is time for that. Answers after how many
 * milliseconds to ask again; -1: never.
 */
int prepared_expire(struct init *init);

#endif
