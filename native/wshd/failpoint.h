/*
 * Named places between two steps, where a test makes this program fail, wait or die (docs/failpoints.md).
 * They do nothing unless the one that starts the launcher has WSHD_FAILPOINT in its environment; it is taken
 * out of there before anything else is started.
 *
 *     [COUNT*]NAME=TERM[->TERM]...   separated by commas; TERM is [COUNT*](off|error|kill|delay(MS))
 */
#ifndef WSHD_FAILPOINT_H
#define WSHD_FAILPOINT_H

#include <stdbool.h>

/*
 * Each is named after the step it stands behind: of the launcher, of the child on its way, of init at work,
 * of a job.
 */
#define FAILPOINTS(X)                                                                                        \
  X(AT_SOCKET, "wshd.socket")                                                                                \
  X(AT_MOUNTS, "wshd.mounts")                                                                                \
  X(AT_BEFORE_CLONE, "wshd.before-clone")                                                                    \
  X(AT_USERS, "wshd.users")                                                                                  \
  X(AT_DEV, "wshd.dev")                                                                                      \
  X(AT_CGROUPS, "wshd.cgroups")                                                                              \
  X(AT_CLONE, "wshd.clone")                                                                                  \
  X(AT_CLONE_TOLD, "wshd.clone-told")                                                                        \
  X(AT_GO, "wshd.go")                                                                                        \
  X(AT_AFTER_CLONE, "wshd.after-clone")                                                                      \
  X(AT_READY, "wshd.ready")                                                                                  \
  X(AT_READY_TOLD, "wshd.ready-told")                                                                        \
  X(AT_CHILD_GO, "wshd.child-go")                                                                            \
  X(AT_NETWORK, "wshd.network")                                                                              \
  X(AT_ROOT, "wshd.root")                                                                                    \
  X(AT_FILES, "wshd.files")                                                                                  \
  X(AT_USER, "wshd.user")                                                                                    \
  X(AT_BIND, "wshd.bind")                                                                                    \
  X(AT_PIVOT, "wshd.pivot")                                                                                  \
  X(AT_CONFINE, "wshd.confine")                                                                              \
  X(AT_STREAMS, "wshd.streams")                                                                              \
  X(AT_PREPARE, "wshd.prepare")                                                                              \
  X(AT_LISTEN, "wshd.listen")                                                                                \
  X(AT_SERVE, "wshd.serve")                                                                                  \
  X(AT_ACCEPT, "wshd.accept")                                                                                \
  X(AT_HELLO, "wshd.hello")                                                                                  \
  X(AT_HANDED_OVER, "wshd.handed-over")                                                                      \
  X(AT_SPAWN, "wshd.spawn")                                                                                  \
  X(AT_SPAWNED, "wshd.spawned")                                                                              \
  X(AT_SPAWN_TOLD, "wshd.spawn-told")                                                                        \
  X(AT_EXIT, "wshd.exit")                                                                                    \
  X(AT_EXIT_TOLD, "wshd.exit-told")                                                                          \
  X(AT_SIGNAL, "wshd.signal")                                                                                \
  X(AT_FORGET, "wshd.forget")                                                                                \
  X(AT_WAIT_EMPTY, "wshd.wait-empty")                                                                        \
  X(AT_DAEMON_LOST, "wshd.daemon-lost")                                                                      \
  X(AT_JOB, "wshd.job")                                                                                      \
  X(AT_EXECUTE, "wshd.execute")

#define FAILPOINT_ENUM(constant, name) constant,
enum failpoint { FAILPOINTS(FAILPOINT_ENUM) FAILPOINT_COUNT };
#undef FAILPOINT_ENUM

/*
 * Reads WSHD_FAILPOINT and removes it from the environment. Complains and answers -1 when it cannot be
 * understood.
 */
int failpoints_open(void);

/* Whether any is. */
bool failpoints_are_set(void);

const char *failpoint_name(enum failpoint at);

/* One name on a line, on standard output. */
void failpoints_list(void);

/* 0, or -1 with errno EIO for an error. Does not come back from a kill; a delay holds this process up. */
int failpoint(enum failpoint at);

/* As failpoint(), with a report of the error. */
int failpoint_reported(enum failpoint at);

#endif
