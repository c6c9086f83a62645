/**
 * The host's perl inside a container, by read-only bind mounts: any system call with any arguments, without a
 * compiler.
 */
import fs from 'node:fs';
import type { BindMountSpec } from '@warden/interface';

/** To be given to `create`. */
export const PERL_MOUNTS: readonly BindMountSpec[] = ['/usr', '/lib', '/lib64']
  .filter((directory) => fs.existsSync(directory))
  .map((directory) => ({ source: directory, target: directory, mode: 'ro' }));

/** A script for a job that runs `program`, which holds no single quotes. */
export function perl(program: string): string {
  return `exec /usr/bin/perl -w -e '${program}'`;
}

/** Numbers of system calls on this machine. */
export const CALLS: Readonly<Record<string, number>> =
  process.arch === 'arm64'
    ? {
        setpriority: 140,
        ioprio_set: 30,
        sched_setaffinity: 122,
        sched_setparam: 118,
        sched_setscheduler: 119,
        sched_setattr: 274,
        prlimit64: 261,
        mount: 40,
        umount2: 39,
        pivot_root: 41,
        unshare: 97,
        setns: 268,
        bpf: 280,
        init_module: 105,
        keyctl: 219,
        perf_event_open: 241,
        ptrace: 117,
        reboot: 142,
        sethostname: 161,
        syslog: 116,
        settimeofday: 170,
        swapon: 224,
        quotactl: 60,
        open_by_handle_at: 265,
        fanotify_init: 262,
        inotify_init1: 26,
        mq_open: 180,
        mq_unlink: 181,
        userfaultfd: 282,
        open_tree: 428,
        move_mount: 429,
        fsopen: 430,
        mount_setattr: 442,
        mknodat: 33,
        pidfd_open: 434,
        pidfd_getfd: 438,
      }
    : {
        setpriority: 141,
        ioprio_set: 251,
        sched_setaffinity: 203,
        sched_setparam: 142,
        sched_setscheduler: 144,
        sched_setattr: 314,
        prlimit64: 302,
        mount: 165,
        umount2: 166,
        pivot_root: 155,
        unshare: 272,
        setns: 308,
        bpf: 321,
        init_module: 175,
        keyctl: 250,
        perf_event_open: 298,
        ptrace: 101,
        reboot: 169,
        sethostname: 170,
        syslog: 103,
        settimeofday: 164,
        swapon: 167,
        quotactl: 179,
        open_by_handle_at: 304,
        fanotify_init: 300,
        inotify_init1: 294,
        mq_open: 240,
        mq_unlink: 241,
        userfaultfd: 323,
        open_tree: 428,
        move_mount: 429,
        fsopen: 430,
        mount_setattr: 442,
        mknodat: 259,
        pidfd_open: 434,
        pidfd_getfd: 438,
      };
