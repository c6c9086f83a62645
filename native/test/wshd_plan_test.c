/*
 * The parts of wshd that read what others wrote: fstab, wshd.conf, passwd and group, messages; and the ring.
 */
#include "accounts.h"
#include "format.h"
#include "plan.h"
#include "report.h"
#include "ring.h"
#include "tap.h"
#include "wire.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <unistd.h>

static int reports[2];

/* The latest report of the functions under test, or "". */
static const char *reported(void) {
  static char packet[4096];
  ssize_t got = recv(reports[0], packet, sizeof packet - 1, MSG_DONTWAIT);
  packet[got < 0 ? 0 : got] = '\0';
  return packet;
}

static int fstab(struct plan *plan, const char *text) {
  *plan = (struct plan){0};
  return plan_parse_fstab(plan, strdup(text));
}

static int conf(struct plan *plan, const char *text) {
  *plan = (struct plan){0};
  return plan_parse_conf(plan, strdup(text));
}

static void test_fstab(void) {
  struct plan plan;
  check(fstab(&plan,
              "# comment\n\noverlay / overlay lowerdir=a\\,b:c,ro,upperdir=u\\040v,nosuid,x-other 0 0\n"
              "/src\\011\\134 /a\\040b none rbind,ro,x-warden.create=dir 0 0") == 0,
        "a good fstab");
  check(plan.mount_count == 2 && strcmp(plan.mounts[0].data, "lowerdir=a\\,b:c,upperdir=u v") == 0,
        "words of the file system");
  check(plan.mounts[0].flags == (MS_RDONLY | MS_NOSUID) && plan.mounts[0].create == CREATE_NOTHING, "flags");
  check(strcmp(plan.mounts[1].source, "/src\t\\") == 0 && strcmp(plan.mounts[1].target, "/a b") == 0,
        "octal escapes");
  check(plan.mounts[1].flags == (MS_BIND | MS_REC | MS_RDONLY) && plan.mounts[1].create == CREATE_DIRECTORY,
        "an operator's bind mount");
  check(fstab(&plan, "a / none\n") != 0 && strncmp(reported(), "error plan 22 0 etc/fstab:1 ", 28) == 0,
        "too few fields");
  check(fstab(&plan, "a / none bind\nb relative none bind\n") != 0 &&
            strncmp(reported(), "error plan 22 0 etc/fstab:2 ", 28) == 0,
        "a relative target");
  check(fstab(&plan, "a /x none bind\n") != 0 && reported()[0] == 'e', "a first line that is not the root");
  const char *bad[] = {"a\n", "a /\n", "a / none \n", "a relative none bind\n"};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    char text[64];
    format(text, sizeof text, "r / none bind\n\n#\n%s", bad[i]);
    check(fstab(&plan, text) != 0 && strncmp(reported(), "error plan 22 0 etc/fstab:4 ", 28) == 0,
          "an error names its line");
  }
  check(fstab(&plan, "r / t a\\,ro,ro,b\\\\,noexec,c\\") == 0 &&
            strcmp(plan.mounts[0].data, "a\\,ro,b\\\\,c\\") == 0,
        "escaped commas, escaped backslashes, a backslash at the end");
  check(plan.mounts[0].flags == (MS_RDONLY | MS_NOEXEC), "and the words between them");
  check(fstab(&plan, "r\\04 / t x\\0401\\999,,\\057") == 0 && strcmp(plan.mounts[0].source, "r\\04") == 0 &&
            strcmp(plan.mounts[0].data, "x 1\\999,/") == 0,
        "what is no octal escape stays");
  check(fstab(&plan, "r\\000x\\400\\777\\377 / t rw") == 0 &&
            strcmp(plan.mounts[0].source, "r\\000x\\400\\777\377") == 0,
        "nor is one that no byte of a word can be");
  check(fstab(&plan, "r / t rw\tignored fields") == 0 && strcmp(plan.mounts[0].data, "") == 0, "only flags");
  check(fstab(&plan, "r / t ro,rw") == 0 && plan.mounts[0].flags == 0, "the last of two that differ");
  check(fstab(&plan, "") != 0 && reported()[0] == 'e', "an empty fstab");
}

static void test_conf(void) {
  struct plan plan;
  check(conf(&plan,
             "hostname h\nnice -5\ncgroup /a\\040b\ncgroup /c\nreserve /r\\040o /r\\040i\naddress "
             "10.0.0.2/30\ngateway 10.0.0.1\ngateway_mac 02:00:00:00:00:ff\nmtu 1400\n"
             "user vcap 10000 10001 /home/vcap /bin/sh\nfile /etc/hosts 0644 etc/hosts\ndevice fuse c 10 229 "
             "0666\nsymlink /proc/mounts /etc/mtab\n"
             "capabilities a80425fb\nno_new_privs 1\ncore_dumps 0\nterminals 9\nshm_kib 1024\ndev_kib 4\n") ==
            0,
        "a good configuration");
  check(plan.nice == -5 && plan.cgroup_count == 2 && strcmp(plan.cgroups[0], "/a b") == 0,
        "niceness and groups");
  check(strcmp(plan.reserve_outside, "/r o") == 0 && strcmp(plan.reserve_inside, "/r i") == 0,
        "room beside the limit of processes");
  check(plan.prefix_length == 30 && plan.mtu == 1400 && plan.has_gateway_mac && plan.gateway_mac[5] == 0xff,
        "network");
  check(plan.user.uid == 10000 && plan.user.gid == 10001 && strcmp(plan.user.home, "/home/vcap") == 0,
        "user");
  check(plan.file_count == 1 && plan.files[0].mode == 0644 && plan.device_count == 1 &&
            plan.devices[0].minor == 229 && plan.symlink_count == 1,
        "files, devices, links");
  check(plan.capabilities == 0xa80425fb && plan.no_new_privs, "restrictions of jobs");
  check(plan.no_core_dumps && plan.terminals == 9 && plan.shm_kib == 1024 && plan.dev_kib == 4, "ceilings");
  check(conf(&plan, "hostname h\ncore_dumps 1\n") == 0 && !plan.no_core_dumps && plan.terminals == 0 &&
            plan.shm_kib == 0 && plan.dev_kib == 64,
        "none but that of /dev");
  const char *bad[] = {"nonsense 1\n",
                       "core_dumps 2\n",
                       "terminals 0\n",
                       "terminals 2147483648\n",
                       "shm_kib 3\n",
                       "shm_kib 4294967296\n",
                       "dev_kib x\n",
                       "dev_kib\n",
                       "mtu 70000\n",
                       "mtu\n",
                       "nice 21\n",
                       "address 10.0.0.1\n",
                       "gateway x\n",
                       "gateway_mac 1:2\n",
                       "user a b c\n",
                       "user a:b 1 1 / /\n",
                       "file rel 644 x\n",
                       "file\n",
                       "device a/b c 1 1 666\n",
                       "device\n",
                       "reserve\n",
                       "reserve /only\n",
                       "symlink a b\n",
                       "symlink\n",
                       "user\n",
                       "address\n",
                       "capabilities zz\n",
                       "no_new_privs 2\n",
                       "address 10.0.0.1/33\n",
                       "address 10.0.0/8\n",
                       "address 10.0.0.256/8\n",
                       "address 10.0.0.1.2/8\n",
                       "gateway 10.0.0.1x\n",
                       "gateway_mac -1:0:0:0:0:0\n",
                       "gateway_mac 0:0:0:0:0:0:0\n",
                       "capabilities \n"};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    char text[64];
    snprintf(text, sizeof text, "hostname h\n%s", bad[i]);
    text[strcspn(text + 11, "\n") + 11] = '\0';
    check(conf(&plan, text) != 0 && strncmp(reported(), "error plan 22 0 etc/wshd.conf:2 ", 32) == 0,
          text + 11);
  }
}

static void test_accounts(void) {
  struct account account;
  const char *passwd = "broken\nroot:x:0:0:root:/root:/bin/sh\nvcap:x:1:1::/old:/bin/"
                       "bash\nbig:x:4294967295:1::/:/\nneg:x:-1:1::/:/\nlast:x:7:8::/l:";
  check(account_find(passwd, "vcap", &account) && account.uid == 1 && strcmp(account.home, "/old") == 0,
        "an entry");
  check(account_find(passwd, "last", &account) && account.gid == 8 && account.shell[0] == '\0',
        "an entry without a line end");
  check(!account_find(passwd, "vca", &account) && !account_find(passwd, "broken", &account), "no such entry");
  check(!account_find(passwd, "big", &account) && !account_find(passwd, "neg", &account),
        "numbers out of range");
  account_find(passwd, "last", &account);
  check(account_is_first(passwd, &account), "the only one with its number");
  account_find(passwd, "vcap", &account);
  check(account_is_first("broken:x:1\nbig:x:4294967295:1::/:/\nvcap:x:1:1::/old:/bin/bash\nv:x:1:1::/:/\n",
                         &account),
        "the first with its number");
  check(!account_is_first("v:x:1:1::/:/\nvcap:x:1:1::/old:/bin/bash\n", &account) &&
            !account_is_first("vcap:x:2:1::/old:/bin/bash\n", &account) && !account_is_first("", &account),
        "not the first with its number");
  account_find_groups("a:x:5:vcap\nb:x:6:other,vcap\nc:x:7:vcapx\nd:x:1:vcap\nbroken\ne:x:9:", &account);
  check(account.group_count == 3 && account.groups[0] == 1 && account.groups[1] == 5 &&
            account.groups[2] == 6,
        "supplementary groups");
  struct plan_user user = {.name = (char *)"vcap",
                           .uid = 10000,
                           .gid = 10001,
                           .home = (char *)"/home/vcap",
                           .shell = (char *)"/bin/sh"};
  char *text = accounts_with_user(passwd, &user);
  check(text != NULL && strstr(text, "vcap:x:10000:10001::/old:/bin/bash\n") != NULL &&
            strstr(text, "vcap:x:1:1") == NULL,
        "a user is renumbered");
  free(text);
  text = accounts_with_user("root:x:0:0::/root:/bin/sh", &user);
  check(text != NULL &&
            strcmp(text, "root:x:0:0::/root:/bin/sh\nvcap:x:10000:10001::/home/vcap:/bin/sh\n") == 0,
        "a user is added");
  free(text);
  text = accounts_with_group("vcap:x:1:a\nvcap:x:2:\n", &user);
  check(text != NULL && strcmp(text, "vcap:x:10001:a\n") == 0, "a group is renumbered once");
  free(text);
}

static void test_long_lines(void) {
  struct account account;
  static char passwd[8192], name[400];
  memset(name, 'n', sizeof name - 1);
  format(passwd, sizeof passwd, "%s:x:1:1::/:/\nok:x:2:2::/:/\n", name);
  check(!account_find(passwd, name, &account), "a name that does not fit");
  check(account_find(passwd, "ok", &account) && account.uid == 2, "the line behind it");
  static char home[2000];
  memset(home, 'h', sizeof home - 1);
  home[0] = '/';
  format(passwd, sizeof passwd, "u:x:1:1::%s:/\nu:x:3:3::/short:/\n", home);
  check(account_find(passwd, "u", &account) && account.uid == 3, "an entry that does not fit is not there");
  check(!account_find("a:x:1:1:::", "", &account) && !account_find("", "a", &account) &&
            !account_find("a:x:1:1::/", "a", &account),
        "too few fields");
  check(account_find("a:x:1:1::/:/bin/sh:more", "a", &account), "more than seven fields");
  check(!account_find("a:x: 1:1::/:/\na:x:+1:1::/:/\na:x:0x1:1::/:/\na:x::1::/:/", "a", &account),
        "numbers are digits");
  check(account_find("a:x:4294967294:0::/:/", "a", &account) && account.uid == 4294967294u,
        "the largest number");
  struct account member = {.name = "m", .gid = 1};
  char *at = passwd;
  for (int i = 0; i < ACCOUNT_GROUPS_MAX + 20; i++) at += format(at, 64, "g%d:x:%d:m\n", i, 100 + i);
  account_find_groups(passwd, &member);
  check(member.group_count == ACCOUNT_GROUPS_MAX &&
            member.groups[ACCOUNT_GROUPS_MAX - 1] == 100 + ACCOUNT_GROUPS_MAX - 2,
        "no more groups than there is room for");
  struct plan_user user = {
      .name = (char *)"u", .uid = 1, .gid = 2, .home = passwd, .shell = (char *)"/bin/sh"};
  memset(passwd, 'x', 5000);
  passwd[5000] = '\0';
  check(accounts_with_user("", &user) == NULL, "an entry that would be cut is not written");
  user.home = (char *)"/home/u";
  char *text = accounts_with_group("other:x:1:\nu:x:5:a,b", &user);
  check(text != NULL && strcmp(text, "other:x:1:\nu:x:2:a,b\n") == 0, "a renumbered group keeps its members");
  free(text);
  text = accounts_with_user("\n\nu\n:\nuu:x:1:1::/:/", &user);
  check(text != NULL && strcmp(text, "\n\nu:x:1:2::/home/u:/bin/sh\n:\nuu:x:1:1::/:/\n") == 0,
        "malformed lines of others stay, one of the user's is replaced");
  free(text);
}

static void test_format(void) {
  char text[16];
  uint64_t value;
  check(format(text, sizeof text, "%s-%d-%u%%", "a", -7, 42u) == 8 && strcmp(text, "a--7-42%") == 0,
        "words and numbers");
  check(format(text, sizeof text, "%d %u", INT32_MIN, UINT32_MAX) == 22 &&
            strcmp(text, "-2147483648 429") == 0,
        "the largest numbers, cut");
  check(format(text, 1, "%s", "abc") == 3 && text[0] == '\0', "no room but for the end");
  check(format(NULL, 0, "%s", "abc") == 3, "no room at all");
  check(parse_number("18446744073709551615", 20, 10, UINT64_MAX, &value) && value == UINT64_MAX,
        "the largest number");
  check(!parse_number("18446744073709551616", 20, 10, UINT64_MAX, &value), "one more");
  check(parse_number("fF", 2, 16, 255, &value) && value == 255 && !parse_number("100", 3, 16, 255, &value),
        "hexadecimal");
  check(parse_number("0755", 4, 8, 07777, &value) && value == 0755 && !parse_number("8", 1, 8, 07777, &value),
        "octal");
  const char *bad[] = {"", "-1", "+1", " 1", "1 ", "0x1", "1a", "g", "@", "`", "\xb1"};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
    check(!parse_number(bad[i], strlen(bad[i]), 10, UINT64_MAX, &value), "no number");
}

static void test_wire(void) {
  static struct wire_writer writer;
  wire_begin(&writer, WSHD_SPAWN, 7);
  wire_put_u32(&writer, 0xdeadbeef);
  wire_put_u64(&writer, 1ull << 40);
  wire_put_block(&writer, "text", 4);
  struct wire_reader reader = {.at = writer.bytes + sizeof(struct wshd_header),
                               .end = writer.bytes + writer.length};
  uint32_t length;
  check(wire_u32(&reader) == 0xdeadbeef && wire_u64(&reader) == 1ull << 40, "numbers");
  const unsigned char *bytes = wire_bytes(&reader, &length);
  check(length == 4 && memcmp(bytes, "text", 4) == 0 && !reader.failed, "a block");
  check(wire_u16(&reader) == 0 && reader.failed, "beyond the end");
  unsigned char lie[] = {0xff, 0xff, 0xff, 0xff, 'x'};
  reader = (struct wire_reader){.at = lie, .end = lie + sizeof lie};
  wire_bytes(&reader, &length);
  check(reader.failed && length == 0, "a length that lies");
}

static void test_wire_bounds(void) {
  static struct wire_writer writer;
  static unsigned char big[WSHD_MESSAGE_MAX];
  wire_begin(&writer, WSHD_RING, 0);
  wire_put(&writer, big, sizeof big);
  wire_put_u64(&writer, 1);
  check(writer.length == WSHD_MESSAGE_MAX, "a message never grows beyond its maximum");
  unsigned char bytes[15] = {1, 2, 3, 4, 5, 6, 7, 8, 9};
  for (size_t length = 0; length <= sizeof bytes; length++) {
    unsigned char *exact = malloc(length); /* so that a byte too far is found */
    memcpy(exact, bytes, length);
    struct wire_reader reader = {.at = exact, .end = exact + length};
    uint64_t wide = wire_u64(&reader);
    bool first = reader.failed == (length < 8) && (length >= 8 || wide == 0);
    uint32_t narrow = wire_u32(&reader);
    check(first && reader.failed == (length < 12) && (length >= 12 || narrow == 0),
          "a message cut at every place");
    free(exact);
  }
  unsigned char empty[] = {0, 0, 0, 0};
  struct wire_reader reader = {.at = empty, .end = empty + 4};
  uint32_t length;
  wire_bytes(&reader, &length);
  check(!reader.failed && length == 0 && reader.at == reader.end, "an empty block at the end");
}

static void test_ring_take(void) {
  struct ring ring = {0};
  static unsigned char big[WSHD_RING_BYTES];
  unsigned char out[8];
  ring_take(&ring, 0);
  check(ring.bytes == NULL && ring.length == 0, "nothing taken from nothing");
  ring_append(&ring, (const unsigned char *)"abcdef", 6);
  ring_take(&ring, 4);
  check(ring.length == 2 && ring.dropped == 0 && ring.position == 4 && ring_peek(&ring, 0, out, 8) == 2 &&
            memcmp(out, "ef", 2) == 0,
        "what came later stays");
  ring_append(&ring, big, sizeof big);
  check(ring.length == WSHD_RING_BYTES && ring.dropped == 2 && ring.position == 6,
        "the count of losses begins anew, the position goes on");
  ring_take(&ring, 5);
  check(ring.length == WSHD_RING_BYTES && ring.dropped == 1 && ring.position == 6,
        "what was taken had partly been overwritten");
  ring_take(&ring, WSHD_RING_BYTES + 6);
  check(ring.length == 0 && ring.dropped == 0 && ring.bytes == NULL && ring.position == WSHD_RING_BYTES + 6,
        "all is taken");
  ring_append(&ring, (const unsigned char *)"xy", 2);
  check(ring.dropped == 0 && ring.position == WSHD_RING_BYTES + 6 && ring_peek(&ring, 1, out, 8) == 1 &&
            out[0] == 'y' && ring_peek(&ring, 2, out, 8) == 0,
        "and it goes on");
  ring_clear(&ring);
}

static void test_ring(void) {
  struct ring ring = {0};
  static unsigned char big[WSHD_RING_BYTES + 10], out[WSHD_RING_BYTES];
  for (size_t i = 0; i < sizeof big; i++) big[i] = (unsigned char)(i % 251);
  ring_append(&ring, big, 100);
  check(ring.length == 100 && ring.dropped == 0 && ring_peek(&ring, 90, out, 50) == 10 &&
            memcmp(out, big + 90, 10) == 0,
        "a part");
  ring_append(&ring, big, sizeof big);
  check(ring.length == WSHD_RING_BYTES && ring.dropped == 110, "more than it holds");
  check(ring_peek(&ring, 0, out, sizeof out) == WSHD_RING_BYTES && memcmp(out, big + 10, sizeof out) == 0,
        "keeps the latest");
  ring_append(&ring, (const unsigned char *)"tail", 4);
  check(ring_peek(&ring, WSHD_RING_BYTES - 4, out, 4) == 4 && memcmp(out, "tail", 4) == 0 &&
            ring.dropped == 114,
        "wraps");
  ring_clear(&ring);
  check(ring.length == 0 && ring.bytes == NULL, "is given back");
}

int main(void) {
  if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, reports) != 0) return 1;
  report_open(reports[1]);
  test_fstab();
  test_conf();
  test_accounts();
  test_wire();
  test_ring();
  test_ring_take();
  test_wire_bounds();
  test_long_lines();
  test_format();
  return tap_end();
}

/* a plan lives as long as its process; what it points to is not a leak */
const char *__asan_default_options(void);
const char *__asan_default_options(void) { return "detect_leaks=0"; }
