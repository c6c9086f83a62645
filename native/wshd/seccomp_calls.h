/*
 * The system calls that are allowed whatever their arguments, in alphabetical order. X is expanded once per
 * call that the architecture has. Left out on purpose, though moby's profile has them: fanotify_mark (useless
 * without fanotify_init), io_setup, modify_ldt, process_vm_readv, process_vm_writev, ipc and socketcall
 * (multiplexers of foreign architectures).
 */
#ifndef WSHD_SECCOMP_CALLS_H
#define WSHD_SECCOMP_CALLS_H

#include <sys/syscall.h>

/*
 * Newer than the C library that this is built with. From 424 on a call has the same number on every
 * architecture.
 */
#define NR_cachestat 451
#define NR_fchmodat2 452
#define NR_map_shadow_stack 453
#define NR_futex_wake 454
#define NR_futex_wait 455
#define NR_futex_requeue 456
#define NR_statmount 457
#define NR_listmount 458
#define NR_mseal 462
#define NR_setxattrat 463
#define NR_getxattrat 464
#define NR_listxattrat 465
#define NR_removexattrat 466
#define NR_pidfd_open 434
#define NR_close_range 436
#define NR_openat2 437
#define NR_faccessat2 439
#define NR_epoll_pwait2 441
#define NR_landlock_create_ruleset 444
#define NR_landlock_add_rule 445
#define NR_landlock_restrict_self 446
#define NR_memfd_secret 447
#define NR_process_mrelease 448
#define NR_futex_waitv 449
#define NR_pidfd_send_signal 424
/*
 * With which a function returns that the host's operator watches: who is refused is killed (Linux 6.11 to
 * 6.13).
 */
#define NR_uretprobe 335
/* The newest call this list has an opinion about. */
#define NR_LAST 466

/* clang-format takes a list in a macro for an expression, and indents each line further than the last. */
/* clang-format off */
#ifdef SYS_open
/* Calls that only the older architectures have. */
#define SECCOMP_OLD_CALLS(X)                                                                                 \
  X(SYS_access) X(SYS_alarm) X(SYS_arch_prctl) X(SYS_chmod) X(SYS_chown) X(SYS_creat) X(SYS_dup2)            \
  X(SYS_epoll_create) X(SYS_epoll_ctl_old) X(SYS_epoll_wait) X(SYS_epoll_wait_old) X(SYS_eventfd)            \
  X(SYS_fork) X(SYS_futimesat) X(SYS_getdents) X(SYS_getpgrp) X(SYS_get_thread_area) X(SYS_inotify_init)     \
  X(SYS_lchown) X(SYS_link) X(SYS_lstat) X(SYS_mkdir) X(SYS_mknod) X(SYS_open) X(SYS_pause) X(SYS_pipe)      \
  X(SYS_poll) X(SYS_readlink) X(SYS_rename) X(SYS_rmdir) X(SYS_select) X(SYS_set_thread_area)                \
  X(SYS_signalfd) X(SYS_stat) X(SYS_symlink) X(SYS_time) X(SYS_unlink) X(NR_uretprobe) X(SYS_utime)          \
  X(SYS_utimes)                                                                                              \
  X(SYS_vfork)
#else
#define SECCOMP_OLD_CALLS(X)
#endif

#define SECCOMP_CALLS(X)                                                                                     \
  SECCOMP_OLD_CALLS(X)                                                                                       \
  X(SYS_accept) X(SYS_accept4) X(SYS_adjtimex) X(SYS_bind) X(SYS_brk) X(NR_cachestat) X(SYS_capget)          \
  X(SYS_capset) X(SYS_chdir) X(SYS_chroot) X(SYS_clock_adjtime) X(SYS_clock_getres) X(SYS_clock_gettime)     \
  X(SYS_clock_nanosleep) X(SYS_close) X(NR_close_range) X(SYS_connect) X(SYS_copy_file_range) X(SYS_dup)     \
  X(SYS_dup3) X(SYS_epoll_create1) X(SYS_epoll_ctl) X(SYS_epoll_pwait) X(NR_epoll_pwait2) X(SYS_eventfd2)    \
  X(SYS_execve) X(SYS_execveat) X(SYS_exit) X(SYS_exit_group) X(SYS_faccessat) X(NR_faccessat2)              \
  X(SYS_fadvise64) X(SYS_fallocate) X(SYS_fchdir) X(SYS_fchmod) X(SYS_fchmodat) X(NR_fchmodat2)              \
  X(SYS_fchown) X(SYS_fchownat) X(SYS_fcntl) X(SYS_fdatasync) X(SYS_fgetxattr) X(SYS_flistxattr)             \
  X(SYS_flock) X(SYS_fremovexattr) X(SYS_fsetxattr) X(SYS_fstat) X(SYS_fstatfs) X(SYS_fsync)                 \
  X(SYS_ftruncate) X(SYS_futex) X(NR_futex_requeue) X(NR_futex_wait) X(NR_futex_waitv) X(NR_futex_wake)      \
  X(SYS_getcpu) X(SYS_getcwd) X(SYS_getdents64) X(SYS_getegid) X(SYS_geteuid) X(SYS_getgid)                  \
  X(SYS_getgroups) X(SYS_getitimer) X(SYS_getpeername) X(SYS_getpgid) X(SYS_getpid) X(SYS_getppid)           \
  X(SYS_getpriority) X(SYS_getrandom) X(SYS_getresgid) X(SYS_getresuid) X(SYS_getrlimit)                     \
  X(SYS_get_robust_list) X(SYS_getrusage) X(SYS_getsid) X(SYS_getsockname) X(SYS_getsockopt) X(SYS_gettid)   \
  X(SYS_gettimeofday) X(SYS_getuid) X(SYS_getxattr) X(NR_getxattrat) X(SYS_inotify_add_watch)                \
  X(SYS_inotify_init1) X(SYS_inotify_rm_watch) X(SYS_io_cancel) X(SYS_io_destroy) X(SYS_io_getevents)        \
  X(SYS_io_pgetevents) X(SYS_ioprio_get) X(SYS_ioprio_set) X(SYS_io_submit) X(SYS_kill)                      \
  X(NR_landlock_add_rule) X(NR_landlock_create_ruleset) X(NR_landlock_restrict_self) X(SYS_lgetxattr)        \
  X(SYS_linkat) X(SYS_listen) X(NR_listmount) X(SYS_listxattr) X(NR_listxattrat) X(SYS_llistxattr)           \
  X(SYS_lremovexattr) X(SYS_lseek) X(SYS_lsetxattr) X(SYS_madvise) X(NR_map_shadow_stack) X(SYS_membarrier)  \
  X(SYS_memfd_create) X(NR_memfd_secret) X(SYS_mincore) X(SYS_mkdirat) X(SYS_mknodat) X(SYS_mlock)           \
  X(SYS_mlock2) X(SYS_mlockall) X(SYS_mmap) X(SYS_mprotect) X(SYS_mq_getsetattr) X(SYS_mq_notify)            \
  X(SYS_mq_open) X(SYS_mq_timedreceive) X(SYS_mq_timedsend) X(SYS_mq_unlink) X(SYS_mremap) X(NR_mseal)       \
  X(SYS_msgctl) X(SYS_msgget) X(SYS_msgrcv) X(SYS_msgsnd) X(SYS_msync) X(SYS_munlock) X(SYS_munlockall)      \
  X(SYS_munmap) X(SYS_name_to_handle_at) X(SYS_nanosleep) X(SYS_newfstatat) X(SYS_openat) X(NR_openat2)      \
  X(NR_pidfd_open) X(NR_pidfd_send_signal) X(SYS_pipe2) X(SYS_pkey_alloc) X(SYS_pkey_free)                   \
  X(SYS_pkey_mprotect) X(SYS_ppoll) X(SYS_prctl) X(SYS_pread64) X(SYS_preadv) X(SYS_preadv2)                 \
  X(SYS_prlimit64) X(NR_process_mrelease) X(SYS_pselect6) X(SYS_ptrace) X(SYS_pwrite64) X(SYS_pwritev)       \
  X(SYS_pwritev2) X(SYS_read) X(SYS_readahead) X(SYS_readlinkat) X(SYS_readv) X(SYS_recvfrom)                \
  X(SYS_recvmmsg) X(SYS_recvmsg) X(SYS_remap_file_pages) X(SYS_removexattr) X(NR_removexattrat)              \
  X(SYS_renameat) X(SYS_renameat2) X(SYS_restart_syscall) X(SYS_rseq) X(SYS_rt_sigaction)                    \
  X(SYS_rt_sigpending) X(SYS_rt_sigprocmask) X(SYS_rt_sigqueueinfo) X(SYS_rt_sigreturn)                      \
  X(SYS_rt_sigsuspend) X(SYS_rt_sigtimedwait) X(SYS_rt_tgsigqueueinfo) X(SYS_sched_getaffinity)              \
  X(SYS_sched_getattr) X(SYS_sched_getparam) X(SYS_sched_get_priority_max) X(SYS_sched_get_priority_min)     \
  X(SYS_sched_getscheduler) X(SYS_sched_rr_get_interval) X(SYS_sched_setaffinity) X(SYS_sched_setattr)       \
  X(SYS_sched_setparam) X(SYS_sched_setscheduler) X(SYS_sched_yield) X(SYS_seccomp) X(SYS_semctl)            \
  X(SYS_semget) X(SYS_semop) X(SYS_semtimedop) X(SYS_sendfile) X(SYS_sendmmsg) X(SYS_sendmsg) X(SYS_sendto)  \
  X(SYS_setfsgid) X(SYS_setfsuid) X(SYS_setgid) X(SYS_setgroups) X(SYS_setitimer) X(SYS_setpgid)             \
  X(SYS_setpriority) X(SYS_setregid) X(SYS_setresgid) X(SYS_setresuid) X(SYS_setreuid) X(SYS_setrlimit)      \
  X(SYS_set_robust_list) X(SYS_setsid) X(SYS_setsockopt) X(SYS_set_tid_address) X(SYS_setuid)                \
  X(SYS_setxattr) X(NR_setxattrat) X(SYS_shmat) X(SYS_shmctl) X(SYS_shmdt) X(SYS_shmget) X(SYS_shutdown)     \
  X(SYS_sigaltstack) X(SYS_signalfd4) X(SYS_splice) X(SYS_statfs) X(NR_statmount) X(SYS_statx)               \
  X(SYS_symlinkat) X(SYS_sync) X(SYS_sync_file_range) X(SYS_syncfs) X(SYS_sysinfo) X(SYS_tee) X(SYS_tgkill)  \
  X(SYS_timer_create) X(SYS_timer_delete) X(SYS_timer_getoverrun) X(SYS_timer_gettime) X(SYS_timer_settime)  \
  X(SYS_timerfd_create) X(SYS_timerfd_gettime) X(SYS_timerfd_settime) X(SYS_times) X(SYS_tkill)              \
  X(SYS_truncate) X(SYS_umask) X(SYS_uname) X(SYS_unlinkat) X(SYS_utimensat) X(SYS_vmsplice) X(SYS_wait4)    \
  X(SYS_waitid) X(SYS_write) X(SYS_writev)
/* clang-format on */

#endif
