/* Messages with descriptors, sealed memory files and sparse copies, under the sanitizers. */
#include "tap.h"
#include "warden_native.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static void test_messages(void) {
    int32_t ends[2], fds[253], received[253], count;
    char buffer[8];
    check(warden_socketpair(SOCK_SEQPACKET, ends) == 0, "a socket pair is made");
    for (int i = 0; i < 253; i++)
        fds[i] = ends[0];
    check(warden_send(ends[0], "x", 1, fds, 253) == 1, "253 descriptors are sent");
    check(warden_receive(ends[1], buffer, sizeof(buffer), received, &count) == 1 && count == 253, "and received");
    for (int i = 0; i < count; i++)
        close(received[i]);
    check(warden_send(ends[0], "x", 1, fds, 254) == -EINVAL, "254 are refused");
    check(warden_receive(ends[1], buffer, sizeof(buffer), received, &count) == -EAGAIN && count == 0, "nothing there is EAGAIN");

    int next = dup(0);
    close(next);
    check(warden_send(ends[0], "0123456789", 10, fds, 2) == 10, "a message too large for the receiver is sent");
    check(warden_receive(ends[1], buffer, sizeof(buffer), received, &count) == -EMSGSIZE && count == 0, "it is refused");
    int again = dup(0);
    check(again == next, "and its descriptors are closed");
    close(again);
    close(ends[0]);
    check(warden_receive(ends[1], buffer, sizeof(buffer), received, &count) == 0 && count == 0, "a closed peer is the end of the file");
    check(warden_send(ends[1], "x", 1, NULL, 0) == -EPIPE, "and cannot be written to");
    close(ends[1]);
}

static void test_connect(void) {
    char path[5000];
    memset(path, 'a', sizeof(path));
    path[0] = '/';
    path[sizeof(path) - 1] = '\0';
    check(warden_connect_unix(path, SOCK_STREAM) == -ENAMETOOLONG, "an overlong last component is refused");
    path[4200] = '/';
    check(warden_connect_unix(path, SOCK_STREAM) == -ENAMETOOLONG, "an overlong directory is refused");
    path[4200] = 'a';
    path[107] = '\0';
    check(warden_connect_unix(path, SOCK_STREAM) == -ENOENT, "107 bytes fit");
    path[107] = 'a';
    path[108] = '\0';
    check(warden_connect_unix(path, SOCK_STREAM) == -ENAMETOOLONG, "a name of 107 bytes does not fit behind a descriptor");
}

static void test_files(void) {
    char source[] = "/tmp/warden-library-test-XXXXXX";
    char target[64];
    struct stat status;
    int fd = mkstemp(source);
    snprintf(target, sizeof(target), "%s.copy", source);
    check(pwrite(fd, "head", 4, 0) == 4 && pwrite(fd, "tail", 4, 10 << 20) == 4 && ftruncate(fd, 20 << 20) == 0, "a sparse file");
    check(warden_copy_sparse(source, target) == 0, "is copied");
    check(stat(target, &status) == 0 && status.st_size == 20 << 20 && status.st_blocks < 1024, "with its size and its holes");
    check(warden_copy_sparse(source, target) == -EEXIST, "not over an existing file");
    check(warden_allocate_file(target, 1 << 20) == 0 && stat(target, &status) == 0 && status.st_size == 1 << 20, "space shrinks");
    check(warden_allocate_file(target, 3 << 20) == 0 && stat(target, &status) == 0 && status.st_blocks >= 6144 - 2048, "and grows");
    close(fd);
    unlink(source);
    unlink(target);

    int sealed = warden_sealed_memfd("test", "content", 7);
    check(sealed >= 0 && write(sealed, "x", 1) < 0 && errno == EPERM, "a sealed memory file cannot be written");
    check(ftruncate(sealed, 0) < 0 && errno == EPERM, "nor shortened");
    close(sealed);
}

int main(void) {
    test_messages();
    test_connect();
    test_files();
    return tap_end();
}
