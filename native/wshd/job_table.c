/*
 * Thousands of jobs may be known at a time: one is found by its id or its pid without looking at the others.
 */
#include "init.h"

static struct job **id_chain(struct init *init, uint32_t id) { return &init->jobs_by_id[id % JOB_BUCKETS]; }

static struct job **pid_chain(struct init *init, pid_t pid) {
  return &init->jobs_by_pid[(uint32_t)pid % JOB_BUCKETS];
}

void job_add(struct init *init, struct job *job) {
  job->next = init->jobs;
  job->link = &init->jobs;
  if (job->next != NULL) job->next->link = &job->next;
  init->jobs = job;
  struct job **chain = id_chain(init, job->id);
  job->next_of_id = *chain;
  *chain = job;
  chain = pid_chain(init, job->pid);
  job->next_of_pid = *chain;
  *chain = job;
}

struct job *job_find(struct init *init, uint32_t id) {
  struct job *job = *id_chain(init, id);
  while (job != NULL && job->id != id) job = job->next_of_id;
  return job;
}

struct job *job_take_pid(struct init *init, pid_t pid) {
  for (struct job **at = pid_chain(init, pid); *at != NULL; at = &(*at)->next_of_pid) {
    struct job *job = *at;
    if (job->pid != pid) continue;
    *at = job->next_of_pid;
    job->pid = 0;
    return job;
  }
  return NULL;
}

void job_remove(struct init *init, struct job *job) {
  *job->link = job->next;
  if (job->next != NULL) job->next->link = job->link;
  struct job **at = id_chain(init, job->id);
  while (*at != job) at = &(*at)->next_of_id;
  *at = job->next_of_id;
}
