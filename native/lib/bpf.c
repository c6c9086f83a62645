/* The device program of a cgroup v2: which device nodes its processes may use. */
#include "warden_native.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PROGRAM_NAME                                                                                         \
  "warden_device"       /* how an earlier program of ours is recognised; at most 15 characters               \
                         */
#define MAX_ATTACHED 64 /* BPF_CGROUP_MAX_PROGS of the kernel */

static int bpf(int command, union bpf_attr *attributes) {
  int result = (int)syscall(SYS_bpf, command, attributes, sizeof(*attributes));
  return result < 0 ? -errno : result;
}

static uint64_t address(const void *pointer) { return (uint64_t)(uintptr_t)pointer; }

static int load(const void *instructions, uint32_t size, char *log, uint32_t log_size) {
  union bpf_attr attributes;
  memset(&attributes, 0, sizeof(attributes));
  attributes.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE;
  attributes.insns = address(instructions);
  attributes.insn_cnt = size / sizeof(struct bpf_insn);
  attributes.license = address("Apache-2.0");
  memcpy(attributes.prog_name, PROGRAM_NAME, sizeof(PROGRAM_NAME));
  int fd = bpf(BPF_PROG_LOAD, &attributes);
  if (fd >= 0 || log_size == 0) return fd;
  /* Only now with a log: a log that overflows makes a valid program fail with ENOSPC. */
  attributes.log_buf = address(log);
  attributes.log_size = log_size;
  attributes.log_level = 1;
  int again = bpf(BPF_PROG_LOAD, &attributes);
  return again == -ENOSPC ? fd : again;
}

static int is_ours(int program) {
  struct bpf_prog_info info;
  union bpf_attr attributes;
  memset(&info, 0, sizeof(info));
  memset(&attributes, 0, sizeof(attributes));
  attributes.info.bpf_fd = (uint32_t)program;
  attributes.info.info_len = sizeof(info);
  attributes.info.info = address(&info);
  return bpf(BPF_OBJ_GET_INFO_BY_FD, &attributes) == 0 && strcmp(info.name, PROGRAM_NAME) == 0;
}

static int open_program(uint32_t id) {
  union bpf_attr attributes;
  memset(&attributes, 0, sizeof(attributes));
  attributes.prog_id = id;
  return bpf(BPF_PROG_GET_FD_BY_ID, &attributes);
}

/* Answers a descriptor of the program that we attached to `cgroup` earlier, -ENOENT when there is none. */
static int find_attached(int cgroup) {
  uint32_t ids[MAX_ATTACHED] = {0};
  union bpf_attr attributes;
  memset(&attributes, 0, sizeof(attributes));
  attributes.query.target_fd = (uint32_t)cgroup;
  attributes.query.attach_type = BPF_CGROUP_DEVICE;
  attributes.query.prog_ids = address(ids);
  attributes.query.prog_cnt = MAX_ATTACHED;
  int error = bpf(BPF_PROG_QUERY, &attributes);
  if (error < 0) return error;
  for (uint32_t i = 0; i < attributes.query.prog_cnt && i < MAX_ATTACHED; i++) {
    int program = open_program(ids[i]);
    if (program == -ENOENT) continue; /* detached since */
    if (program < 0) return program;
    if (is_ours(program)) return program;
    close(program);
  }
  return -ENOENT;
}

static int attach(int cgroup, int program, int replaced) {
  union bpf_attr attributes;
  memset(&attributes, 0, sizeof(attributes));
  attributes.target_fd = (uint32_t)cgroup;
  attributes.attach_bpf_fd = (uint32_t)program;
  attributes.attach_type = BPF_CGROUP_DEVICE;
  attributes.attach_flags = BPF_F_ALLOW_MULTI;
  if (replaced >= 0) {
    /* Replaced in one step: there is no moment without a filter, nor one in which both must agree. */
    attributes.attach_flags |= BPF_F_REPLACE;
    attributes.replace_bpf_fd = (uint32_t)replaced;
  }
  return bpf(BPF_PROG_ATTACH, &attributes);
}

int warden_attach_device_program(const char *cgroup_path, const void *instructions, uint32_t size, char *log,
                                 uint32_t log_size) {
  if (log_size > 0) log[0] = '\0';
  int cgroup = open(cgroup_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (cgroup < 0) return -errno;
  int program = load(instructions, size, log, log_size);
  int result = program;
  if (program >= 0) {
    int earlier = find_attached(cgroup);
    result = earlier < 0 && earlier != -ENOENT ? earlier : attach(cgroup, program, earlier);
    if (earlier >= 0) close(earlier);
    close(program);
  }
  close(cgroup);
  return result;
}
