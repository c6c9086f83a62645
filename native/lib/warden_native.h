/*
 * The C functions that packages/native calls in Node's process.
 *
 * Rules of this border: arguments are flat scalars, NUL-terminated strings and buffers whose sizes the caller
 * guarantees (the TypeScript side checks every one of them; the foreign function layer does not). Every
 * function answers a value >= 0 or -errno. None keeps a pointer after it returned, none prints, none exits
 * the process. All descriptors made here are close-on-exec and belong to the caller.
 */
#ifndef WARDEN_NATIVE_H
#define WARDEN_NATIVE_H

#include <stddef.h>
#include <stdint.h>

#define WARDEN_EXPORT __attribute__((visibility("default")))

/* descriptors.c */
WARDEN_EXPORT int warden_close(int fd);
/* Another descriptor of the same open file, close-on-exec. */
WARDEN_EXPORT int warden_duplicate(int fd);
WARDEN_EXPORT int64_t warden_read(int fd, void *buffer, uint32_t size);
WARDEN_EXPORT int64_t warden_write(int fd, const void *bytes, uint32_t size);
/*
 * Moves what is in the pipe to `offset` of the file, at most `size` bytes: at every moment each byte is in
 * one of the two. -EAGAIN: empty.
 */
WARDEN_EXPORT int64_t warden_splice(int pipe, int file, uint64_t offset, uint32_t size);
WARDEN_EXPORT int warden_set_nonblocking(int fd);
/* Answers the capacity, which stays as it was where the kernel refuses another. */
WARDEN_EXPORT int warden_grow_pipe(int fd, uint32_t bytes);
WARDEN_EXPORT int warden_pipe(int32_t ends[2]);
WARDEN_EXPORT int warden_eventfd(void);
WARDEN_EXPORT int warden_sealed_memfd(const char *name, const void *content, uint32_t size);

/* control_files.c */
/*
 * Reads and writes files of `directory`, one after the other, whatever becomes of each. `operations`: pairs
 * of strings, each with its NUL, of `size` bytes together: a name, and the value to write or nothing, to
 * read. `answers`: for each an int32, -errno or the number of bytes read, which follow it. Answers how much
 * of `answers` was filled; -EOVERFLOW: all of it, and operations are left.
 */
WARDEN_EXPORT int64_t warden_control_files(const char *directory, const char *operations, uint32_t size,
                                           char *answers, uint32_t room);

/*
 * settings.c: writes a setting below /proc/sys that the kernel has a lock around all links for, and rests
 * where somebody else has it. Answers 0 when all of `value` is taken.
 */
WARDEN_EXPORT int warden_write_setting(const char *path, const void *value, uint32_t size);

/* files.c */
WARDEN_EXPORT int warden_lock_file(const char *path); /* -EWOULDBLOCK: held by somebody */
WARDEN_EXPORT int warden_sync_directory(const char *path);
/*
 * Tells the file system that what lies in the directories made in this one has nothing to do with each other
 * (chattr +T).
 */
WARDEN_EXPORT int warden_spread_directories(const char *path);
/*
 * Opens a regular file for reading; `path` and its links are resolved with `root` as their root. -EINVAL: it
 * is something else.
 */
WARDEN_EXPORT int warden_open_inside(const char *root, const char *path);
/*
 * Has the kernel forget what it holds of the file in memory, as far as nobody maps or has written it, and
 * read it again for the calling process: the memory is then charged to the caller's group, and in large
 * pieces. Answers the file's bytes.
 */
WARDEN_EXPORT int64_t warden_reread_file(int fd);
WARDEN_EXPORT int warden_umask(uint32_t mask);
/*
 * Copies only the data of `source` over the empty file `target`: shared extents where the file system can,
 * else its data extents.
 */
WARDEN_EXPORT int warden_copy_sparse(const char *source, const char *target);
/*
 * Gives the file (made with mode 0600 if absent) exactly `size` bytes of allocated space; on failure it keeps
 * its size.
 */
WARDEN_EXPORT int warden_allocate_file(const char *path, uint64_t size);

/*
 * pieces.c: moves whole pieces of `size` bytes from the pipe to the socket, `most` of them, each between
 * `head` and `tail`, without waiting. `progress` is how much of a piece is on its way, which the next call
 * goes on with, and how many were completed. 0: done, or the pipe holds less than a piece; -EAGAIN: the
 * socket takes no more at present; -ENODATA: in the middle of a piece the pipe was found empty. Nobody else
 * may read the pipe, or write to the socket while a piece is on its way.
 */
WARDEN_EXPORT int warden_move_pieces(int pipe, int socket, const void *head, uint32_t head_size,
                                     uint32_t size, const void *tail, uint32_t tail_size, uint32_t most,
                                     uint32_t progress[2]);

/*
 * remove.c: removes the file or directory with all below; nothing there is success. On failure `failed_name`
 * is the entry's name. Waits for the disk.
 */
WARDEN_EXPORT int warden_remove_tree(const char *path, char *failed_name, uint32_t size);

/*
 * An entry below a directory that stays, on the directory's device: a directory of the caller's user, or a
 * file of its with one name, with exactly this mode, or any name of that inode. `path` names what it lies in
 * first. A directory that is kept is as empty as its kept entries leave it.
 */
struct warden_kept {
  uint64_t inode; /* 0: not a name of a certain file, but what `mode` says */
  uint32_t mode;  /* S_IFDIR or S_IFREG, and the permissions */
  uint32_t optional;
  char path[112];
};
#define WARDEN_KEPT_MAX 64

/*
 * Removes all below `path` but what is kept, and then moves it to `target`. What is not as it has to be is
 * not kept. 1: that is where it lies, and all of `kept` that is not optional is there; 0: something of that
 * is missing, and it lies where it was, with whatever is left. On failure as warden_remove_tree. Nobody else
 * may change anything there meanwhile.
 */
WARDEN_EXPORT int warden_strip_tree(const char *path, const struct warden_kept *kept, uint32_t count,
                                    const char *target, char *failed_name, uint32_t size);

/* sockets.c: `type` is SOCK_STREAM or SOCK_SEQPACKET */
WARDEN_EXPORT int warden_socketpair(int type, int32_t ends[2]);
WARDEN_EXPORT int warden_connect_unix(const char *path, int type);
WARDEN_EXPORT int64_t warden_send(int fd, const void *bytes, uint32_t size, const int32_t *fds,
                                  uint32_t fd_count);
WARDEN_EXPORT int64_t warden_receive(int fd, void *buffer, uint32_t size, int32_t *fds, int32_t *fd_count);
/*
 * Lets the kernel hold that much of what was sent and not read yet, or as much as it allows; never less than
 * before.
 */
WARDEN_EXPORT int warden_grow_send_buffer(int fd, uint32_t bytes);
WARDEN_EXPORT int warden_datagram_socket(void);
/*
 * Sends one datagram to whoever is bound to `path`; `@name` is a name of the abstract name space. Never
 * waits: -EAGAIN when the receiver's queue is full.
 */
WARDEN_EXPORT int warden_send_datagram(int fd, const char *path, const void *bytes, uint32_t size);
WARDEN_EXPORT int warden_peer_credentials(int fd, int32_t pid_uid_gid[3]);

/* spawn.c: argv and environment are `count` strings laid end to end, each with its NUL */
enum warden_spawn_flags { WARDEN_SPAWN_NEW_SESSION = 1 };
enum warden_spawn_step {
  WARDEN_STEP_CLONE = 1,
  WARDEN_STEP_SESSION,
  WARDEN_STEP_DESCRIPTORS,
  WARDEN_STEP_CHDIR,
  WARDEN_STEP_EXEC,
};
WARDEN_EXPORT int warden_spawn(const char *path, const char *cwd, char *argv, uint32_t argv_count,
                               char *environment, uint32_t environment_count, const int32_t *descriptor_pairs,
                               uint32_t pair_count, uint32_t flags, int32_t *failed_step);

/* process.c */
WARDEN_EXPORT int warden_pidfd_open(int pid);
WARDEN_EXPORT int warden_pidfd_signal(int pidfd, int signal);
/*
 * Raises this process's soft and hard limit to `wanted`, or as far as it may; lowers neither. Answers the
 * soft limit in force (at most INT_MAX).
 */
WARDEN_EXPORT int warden_raise_open_files(int wanted);
/* 0: still running; 1: result is {exit code, 0} or {-1, signal} */
WARDEN_EXPORT int warden_reap(int pid, int32_t result[2]);

/* epoll.c: events are {cookie, event mask} pairs */
WARDEN_EXPORT int warden_epoll_create(void);
WARDEN_EXPORT int warden_epoll_add(int epoll_fd, int fd, uint32_t events, uint32_t cookie);
WARDEN_EXPORT int warden_epoll_modify(int epoll_fd, int fd, uint32_t events, uint32_t cookie);
WARDEN_EXPORT int warden_epoll_delete(int epoll_fd, int fd);
WARDEN_EXPORT int warden_epoll_poll(int epoll_fd, uint32_t *events, uint32_t capacity);

/* netlink.c */
WARDEN_EXPORT int warden_netlink_open(int protocol);
/* In the network namespace of process `pid`, or with 0 in a new one. */
WARDEN_EXPORT int warden_netlink_open_elsewhere(int pid, const int32_t *protocols, uint32_t count,
                                                int32_t *fds);
WARDEN_EXPORT int warden_netlink_send(int fd, const void *bytes, uint32_t size);
/*
 * Waits up to timeout_ms. -EAGAIN: nothing came; -EMSGSIZE: the datagram was larger than the buffer (and is
 * lost).
 */
WARDEN_EXPORT int64_t warden_netlink_receive(int fd, void *buffer, uint32_t size, int timeout_ms);
WARDEN_EXPORT int warden_interface_index(const char *name); /* 0: no such interface */

/* mounts.c */
enum warden_try_mount_step {
  WARDEN_TRY_NAMESPACE = 1,
  WARDEN_TRY_MOUNT,
  WARDEN_TRY_CREATE,
  WARDEN_TRY_WRITE,
  WARDEN_TRY_RENAME,
  WARDEN_TRY_UNLINK,
  WARDEN_TRY_UNMOUNT,
};
WARDEN_EXPORT int warden_mount(const char *type, const char *source, const char *target, uint32_t flags,
                               const char *data);
/* The file as a mount of its own that nobody can write through: a descriptor, which keeps it alive. */
WARDEN_EXPORT int warden_open_read_only(const char *path);
WARDEN_EXPORT int warden_unmount(const char *target, int detach);
/*
 * Ends the file system at `path`, and what was written and is not on its device yet: it never gets there.
 * Unmounting waits for nothing then.
 */
WARDEN_EXPORT int warden_shutdown_filesystem(const char *path);
WARDEN_EXPORT int warden_try_mount(const char *type, const char *source, const char *target, uint32_t flags,
                                   const char *data, int check_write, int32_t *failed_step);

/* loop.c: the device is /dev/loop<index> */
WARDEN_EXPORT int warden_loop_attach(const char *image_path, int32_t *index);
WARDEN_EXPORT int warden_loop_grow(const char *device_path);

/*
 * quota.c: `kind` 0 user, 2 project; values are block soft, block hard, inode soft, inode hard, bytes, inodes
 */
WARDEN_EXPORT int warden_quota_get(const char *path, int kind, uint32_t id, uint64_t values[6]);
WARDEN_EXPORT int warden_quota_set(const char *path, int kind, uint32_t id, const uint64_t limits[4]);
WARDEN_EXPORT int warden_set_project(const char *path, uint32_t project);

/*
 * btrfs.c: `path` and `parent` are directories of a btrfs (else -EOPNOTSUPP); `group` is the number of a
 * subvolume. Facts are the subvolume that holds `path`, and 1 when `path` is its root directory. Commands: 1
 * on, 2 off, 4 on, simple accounting.
 */
WARDEN_EXPORT int warden_btrfs_facts(const char *path, uint8_t filesystem[16], uint64_t facts[2]);
WARDEN_EXPORT int warden_btrfs_quota_control(const char *path, uint32_t command);
WARDEN_EXPORT int warden_btrfs_rescan(const char *path); /* -EINPROGRESS: runs already */
/* waits for a commit */
WARDEN_EXPORT int warden_btrfs_create_subvolume(const char *parent, const char *name);
WARDEN_EXPORT int warden_btrfs_destroy_subvolume(const char *parent, const char *name);
/* UINT64_MAX lifts it */
WARDEN_EXPORT int warden_btrfs_limit(const char *path, uint64_t group, uint64_t bytes);
WARDEN_EXPORT int warden_btrfs_remove_group(const char *path, uint64_t group);

/* bpf.c: `instructions` are whole 8-byte BPF instructions; the verifier's complaint goes to `log` */
WARDEN_EXPORT int warden_attach_device_program(const char *cgroup_path, const void *instructions,
                                               uint32_t size, char *log, uint32_t log_size);

/* errors.c */
WARDEN_EXPORT const char *warden_error_text(int number);

#endif
