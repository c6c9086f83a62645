#!/usr/bin/env python3
"""Drives a real wshd over its own protocol (include/wshd_protocol.h) and speaks TAP.

usage: wshd_test.py WSHD

Needs root, a static busybox, and namespaces that are thrown away afterwards: wshd_test.sh provides the latter.
"""
import array
import ctypes
import os
import re
import resource
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time

HELLO, SPAWN, SIGNAL, FORGET, WAIT_EMPTY, END_INPUT, RESIZE, PREPARE = 1, 2, 3, 4, 5, 6, 7, 8
ERROR, WELCOME, SPAWNED, OK, EXIT, JOB, RING, READY = 100, 101, 102, 103, 201, 203, 204, 205
DAEMON, OPERATOR = 1, 2
TTY, DISCARD, TREE, STDIN_PIPE, STDIN_FD, ROOMY = 1, 2, 4, 8, 16, 256
ALL_JOBS = 0xFFFFFFFF
TIMEOUT = 60
# etc/wshd.conf of a container with ids of its own
OWN_IDS = "hostname inside\nuser vcap 10007 10007 /home/vcap /bin/sh\nidmap 0 700000 65536\n"

count = failures = 0


def check(passed, name, got=None):
    global count, failures
    count += 1
    print(f"{'' if passed else 'not '}ok {count} - {name}", flush=True)
    if not passed:
        failures += 1
        print(f"# got {got!r}", flush=True)


def block(data):
    data = data.encode() if isinstance(data, str) else data
    return struct.pack("<I", len(data)) + data


class Client:
    """One connection to init; remembers events that arrive before an answer."""

    def __init__(self, directory, role=DAEMON):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.socket.settimeout(TIMEOUT)
        here = os.getcwd()
        os.chdir(directory)
        try:
            self.socket.connect("run/wshd.sock")
        finally:
            os.chdir(here)
        self.sequence = 0
        self.events = []
        self.welcome = self.request(HELLO, struct.pack("<I", role))
        self.handed_over = []
        while True:
            event = self.receive()
            if event[0] == READY:
                break
            self.handed_over.append(event)

    def receive(self):
        data, control, _, _ = self.socket.recvmsg(65536, socket.CMSG_SPACE(16))
        if not data:
            raise EOFError
        fds = array.array("i")
        for level, kind, content in control:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                fds.frombytes(content)
        _, kind, sequence = struct.unpack_from("<HHI", data)
        return kind, sequence, data[8:], list(fds)

    def send(self, kind, body, fds=()):
        self.sequence += 1
        control = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        self.socket.sendmsg([struct.pack("<HHI", 1, kind, self.sequence) + body], control)
        return self.sequence

    def answer(self, sequence):
        while True:
            message = self.receive()
            if message[1] == sequence:
                return message
            self.events.append(message)

    def request(self, kind, body=b"", fds=()):
        return self.answer(self.send(kind, body, fds))

    def spawn(self, job, argv, fds=(), **options):
        return self.request(SPAWN, spawn_body(job, argv, **options), fds)

    def prepare(self, argv, milliseconds=20_000, **options):
        """Not answered: what comes behind it is."""
        self.send(PREPARE, struct.pack("<I", milliseconds) + spawn_body(0, argv, **options))
        self.request(FORGET, struct.pack("<I", 0))

    def exited(self, job):
        while True:
            for event in self.events:
                if event[0] == EXIT and struct.unpack_from("<I", event[2])[0] == job:
                    self.events.remove(event)
                    return struct.unpack_from("<Ii", event[2])[1]
            self.events.append(self.receive())

    def run(self, job, argv, **options):
        """Spawns, reads both outputs to their ends and forgets: (wait status, stdout, stderr)."""
        answer = self.spawn(job, argv, **options)
        assert answer[0] == SPAWNED, answer
        out, err = (read_all(fd) for fd in answer[3])
        status = self.exited(job)
        self.request(FORGET, struct.pack("<I", job))
        return status, out, err

    def sh(self, job, script, **options):
        return self.run(job, ["sh", "-c", script], **options)

    def close(self):
        self.socket.close()


def spawn_body(job, argv, flags=0, user="", env=(), limits=(), stdin=b"", directory=None, within=None):
    body = struct.pack("<IIHH", job, flags, 24, 80) + block(user)
    body += struct.pack("<I", len(argv)) + b"".join(map(block, argv))
    body += struct.pack("<I", len(env)) + b"".join(map(block, env))
    body += struct.pack("<I", len(limits)) + b"".join(struct.pack("<IQQ", *one) for one in limits)
    if within is not None:
        return body + block(stdin) + block(directory or b"") + struct.pack("<I", within)
    return body + block(stdin) + (b"" if directory is None else block(directory))


def read_all(fd):
    parts = []
    os.set_blocking(fd, True)
    while part := os.read(fd, 65536):
        parts.append(part)
    os.close(fd)
    return b"".join(parts)


def make_container(directory, conf="", fstab=None, extra=""):
    for name in ("run", "lib", "mnt", "etc", "rootfs"):
        os.mkdir(f"{directory}/{name}")
    root = f"{directory}/rootfs"
    for name in ("bin", "etc", "tmp", "root"):
        os.mkdir(f"{root}/{name}")
    os.chmod(f"{root}/tmp", 0o1777)
    shutil.copy("/bin/busybox", f"{root}/bin/busybox")
    for name in subprocess.check_output([f"{root}/bin/busybox", "--list"], text=True).split():
        if name != "busybox":
            os.symlink("busybox", f"{root}/bin/{name}")
    write(f"{root}/etc/passwd", "root:x:0:0:root:/root:/bin/sh\nvcap:x:1:1::/home/vcap:/bin/sh\n")
    write(f"{root}/etc/group", "root:x:0:\nextra:x:4242:other,vcap\n")
    write(f"{directory}/hosts", "127.0.0.1 localhost\n")
    # a link planted by the image must be replaced, never followed
    os.symlink("../../../../../../../../tmp/wshd-test-must-not-exist", f"{root}/etc/hosts")
    write(f"{directory}/etc/fstab", fstab if fstab is not None else f"rootfs / none rbind,rw 0 0\n{extra}")
    write(
        f"{directory}/etc/wshd.conf",
        (conf or "hostname inside\nnice 5\nuser vcap 10007 10007 /home/vcap /bin/sh\nfile /etc/hosts 644 hosts\n") + "hook_shell /bin/busybox\n",
    )


def write(path, text):
    with open(path, "w", encoding="utf8") as file:
        file.write(text)


def write_hook(directory, name, script):
    path = f"{directory}/lib/hook-{name}.sh"
    write(path, f"#!/bin/sh\n{script}\n")
    os.chmod(path, 0o755)


class Launch:
    def __init__(self, wshd, directory, go=True, attach=None, files=None):
        mine, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        mine.settimeout(TIMEOUT)
        self.channel = mine
        self.stderr = open(f"{directory}/stderr", "w+", encoding="utf8")  # noqa: SIM115
        self.process = subprocess.Popen(
            [wshd, "--run", "./run", "--lib", "./lib", "--root", "./mnt", "--title", "wshd: t", "--sync-fd", str(theirs.fileno())],
            cwd=directory, pass_fds=[theirs.fileno()], stderr=self.stderr,
            preexec_fn=None if files is None else lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (files, files)),
        )
        theirs.close()
        self.reports = []
        self.pid = 0
        while packet := self.channel.recv(4096).decode():
            self.reports.append(packet)
            if packet.startswith("cloned "):
                self.pid = int(packet.split()[1])
                if not go:
                    return
                if attach is not None:
                    attach(self.pid)
                self.channel.send(b"go")
            if packet == "ready":
                break
        self.status = self.process.wait(TIMEOUT)

    @property
    def error(self):
        return next((one for one in self.reports if one.startswith("error ")), "")


def is_alive(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="utf8") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def await_true(condition, seconds=30.0):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.01)
    return False


def test_jobs(client):
    status, out, err = client.sh(1, "echo out; echo err >&2; exit 3")
    check((status >> 8, out, err) == (3, b"out\n", b"err\n"), "a job's outputs and status", (status, out, err))
    check(client.sh(1, "kill -9 $$")[0] == 9, "a job killed by a signal")
    status, _, err = client.run(1, ["no-such-program"])
    check(status >> 8 == 255 and b"no-such-program" in err, "a program that is missing", (status, err))
    status, _, err = client.sh(1, "true", user="nobody-here")
    check(status >> 8 == 255 and b"getpwnam" in err, "a user who is missing", (status, err))
    out = client.sh(1, 'id -u; id -G; echo $HOME $USER $PATH $LANG; pwd', user="vcap", env=["LANG=C"])[1]
    check(out == b"10007\n10007 4242\n/home/vcap vcap /bin:/usr/bin C\n/home/vcap\n", "user, groups, environment and directory", out)
    out = client.sh(1, "echo $HOME $USER $PATH; hostname; cut -d' ' -f19 /proc/self/stat; cat /etc/hosts; ls /proc/self/fd | wc -l")[1]
    check(out == b"/root root /sbin:/bin:/usr/sbin:/usr/bin\ninside\n5\n127.0.0.1 localhost\n4\n", "root's environment, host name, files, no stray descriptor", out)
    check(not os.path.lexists("/tmp/wshd-test-must-not-exist"), "a planted link was not followed")
    out = client.sh(1, "ulimit -n; ulimit -Hn; cat /proc/self/status | grep SigBlk", limits=[(7, 64, 128)])[1]
    check(out == b"64\n128\nSigBlk:\t0000000000000000\n", "limits and signal mask", out)
    status, _, err = client.sh(1, "true", limits=[(99, 1, 1)])
    check(status >> 8 == 255 and b"setrlimit" in err, "a limit that cannot be set", (status, err))
    check(client.run(1, ["sh"], stdin=b"echo script")[1] == b"script\n", "a script on inline standard input")
    big = os.memfd_create("in")
    os.write(big, b"x" * 3_000_000)
    os.lseek(big, 0, os.SEEK_SET)
    check(client.run(1, ["wc", "-c"], flags=STDIN_FD, fds=[big])[1].strip() == b"3000000", "large standard input by descriptor")
    os.close(big)
    answer = client.spawn(1, ["cat"], flags=STDIN_PIPE)
    os.write(answer[3][0], b"through")
    os.close(answer[3][0])
    # init holds an end of its own, for the next daemon
    client.request(END_INPUT, struct.pack("<I", 1))
    check(read_all(answer[3][1]) == b"through" and client.exited(1) == 0, "standard input by a pipe")
    check(client.request(END_INPUT, struct.pack("<I", 1))[0] == OK, "the end of an input that has ended")
    check(client.request(END_INPUT, b"")[0] == ERROR and client.request(RESIZE, struct.pack("<IH", 1, 1))[0] == ERROR, "short requests about input and terminals")
    client.request(FORGET, struct.pack("<I", 1))
    os.close(answer[3][2])
    out = client.sh(1, "head -c 5000000 /dev/zero")[1]
    check(len(out) == 5_000_000, "more output than a pipe holds", len(out))


def test_traced(client, directory, pid):
    """Processes that have made init their tracer: wait(2) tells it of their signals too, which are no ends."""
    shutil.copy(os.environ["WSHD_TRACED"], f"{directory}/rootfs/bin/traced")
    for user in ("root", "vcap"):
        for what, expected in (("signal", (3 << 8, b"signalled\n")), ("exec", (4 << 8, b"executed\n")), ("child", (0, b"signalled\n"))):
            answer = client.spawn(1, ["/bin/traced", what], user=user)
            status = client.exited(1)
            ended = await_true(lambda: children_of(pid) == [], 5)
            client.request(SIGNAL, struct.pack("<IiI", ALL_JOBS, 9, 0))
            out, _ = (read_all(fd) for fd in answer[3])
            client.request(FORGET, struct.pack("<I", 1))
            check((status, out, ended) == (*expected, True), f"a process of {user} that init traces ends by itself ({what})", (status, out, ended))


def test_root(client):
    out = client.sh(1, "ls /dev | sort | tr '\\n' ' '; ls -ld /dev/null | cut -c1-10; echo x > /dev/null; readlink /dev/fd; ls /mnt 2>&1 | wc -l")[1]
    check(
        out == b"fd full null ptmx pts random shm stderr stdin stdout tty urandom zero crw-rw-rw-\n/proc/self/fd\n1\n",
        "the devices", out,
    )
    out = client.sh(1, "cut -d' ' -f2 /proc/mounts | sort | tr '\\n' ' '")[1]
    check(out == b"/ /data/in /dev /dev/pts /dev/shm /proc /single ", "nothing of the host is mounted", out)
    out = client.sh(1, "cat '/data/in/a file' /single; touch /data/in/x 2>&1")[1]
    check(b"bound" in out and b"Read-only" in out, "bind mounts, one read-only", out)
    out = client.sh(1, "ip -o link | cut -d: -f2; ip -o -4 addr show lo | grep -c 127.0.0.1; cat /proc/1/cmdline | tr '\\0' ' '; ls /proc | grep -c '^[0-9]'; readlink /proc/1/exe; ls /proc/1/fd | wc -l")
    check(out[1].startswith(b" lo\n1\nwshd: t"), "own network with loopback up, and the title", out)


def test_terminal(client, directory):
    operator = Client(directory, OPERATOR)
    answer = operator.spawn(0, ["sh", "-c", "tty; stty size; exit 4"], flags=TTY)
    job = struct.unpack_from("<I", answer[2])[0]
    text = b""
    try:
        while part := os.read(answer[3][0], 4096):
            text += part
    except OSError:
        pass  # EIO: the other side of the terminal is closed
    os.close(answer[3][0])
    check(job >> 31 == 1 and b"/dev/pts/" in text and b"24 80" in text, "an operator's terminal", text)
    check(operator.exited(job) >> 8 == 4, "its exit status")
    answer = operator.spawn(0, ["sleep", "1000"])
    pid = struct.unpack_from("<Ii", answer[2])[1]
    alive = lambda: client.sh(1, f"test -d /proc/{pid} && echo yes")[1] == b"yes\n"  # noqa: E731
    was = alive()
    operator.close()
    check(was and await_true(lambda: not alive()), "an operator who leaves takes the job along")


def test_tree(client):
    script = "for i in 1 2 3; do (setsid sh -c 'sleep 1000 & sleep 1000; true' &) ; done; echo up; sleep 1000; true"
    answer = client.spawn(7, ["sh", "-c", script], flags=TREE)
    os.read(answer[3][0], 10) if not os.set_blocking(answer[3][0], True) else None
    count_sleeps = lambda: int(client.sh(1, "grep -l ^sleep /proc/[0-9]*/cmdline | wc -l")[1])  # noqa: E731
    check(await_true(lambda: count_sleeps() == 7), "detached descendants run", count_sleeps())
    check(client.request(SIGNAL, struct.pack("<IiI", 7, 9, 1))[0] == OK, "the tree is signalled")
    check(client.exited(7) == 9 and await_true(lambda: count_sleeps() == 0), "nothing of it is left", count_sleeps())
    client.request(FORGET, struct.pack("<I", 7))
    for fd in answer[3]:
        os.close(fd)
    answer = client.spawn(8, ["sh", "-c", "bomb() { bomb & bomb; }; (sleep 1; kill -9 0) & while :; do (:; sleep 0.01 &); done"], flags=TREE, limits=[(6, 400, 400)], user="vcap")
    time.sleep(0.5)
    client.request(SIGNAL, struct.pack("<IiI", 8, 9, 1))
    check(client.exited(8) == 9, "a tree that keeps forking")
    out = client.sh(1, "ps -o user | grep -c vcap")[1]
    check(await_true(lambda: client.sh(1, "ps -o user | grep -c vcap")[1].strip() == b"0"), "nothing of it is left either", out)
    client.request(FORGET, struct.pack("<I", 8))
    for fd in answer[3]:
        os.close(fd)


def test_hand_over(client, directory):
    answer = client.spawn(20, ["sh", "-c", "read go; head -c 100000 /dev/zero; echo end; exit 6"], flags=STDIN_PIPE)
    running = client.spawn(21, ["sh", "-c", "echo first; read go; echo second"], flags=STDIN_PIPE)
    discarded = client.spawn(22, ["sh", "-c", "echo thrown away; exit 2"], flags=DISCARD)
    check(discarded[3] == [] and client.exited(22) >> 8 == 2, "a job without output descriptors")
    client.close()
    os.write(answer[3][0], b"go\n")
    time.sleep(1.5)
    second = Client(directory)
    jobs = {struct.unpack_from("<I", one[2])[0]: one for one in second.handed_over if one[0] == JOB}
    rings = {}
    for one in second.handed_over:
        if one[0] == RING:
            job, stream, position, length = struct.unpack_from("<IIQI", one[2])
            rings.setdefault((job, stream), []).append((position, one[2][20:20 + length]))
    check(sorted(jobs) == [20, 21, 22] and struct.unpack_from("<I", second.welcome[2])[0] == 3, "all jobs are handed over", sorted(jobs))
    _, ended, status, _, position = struct.unpack_from("<IIiIQ", jobs[20][2])
    content = b"".join(part for _, part in rings.get((20, 1), []))
    check((ended, status >> 8) == (1, 6), "an end nobody saw", (ended, status))
    check(position + len(content) == 100004 and content.endswith(b"\0end\n") and len(content) == 65536, "the latest output with its position", (position, len(content)))
    check([p for p, _ in rings[20, 1]] == [position, position + 32768], "the ring's parts name their positions")
    check(jobs[20][3] == [], "a stream read to its end has no descriptor", jobs[20][3])
    check(b"".join(part for _, part in rings.get((21, 1), [])) == b"first\n", "output from before the hand-over", rings.get((21, 1)))
    check(b"".join(part for _, part in rings.get((22, 1), [])) == b"thrown away\n" and jobs[22][3] == [], "a discarded output's ring", rings.get((22, 1)))
    os.write(running[3][0], b"go\n")
    check(len(jobs[21][3]) == 3 and read_all(jobs[21][3][1]) == b"second\n" and second.exited(21) == 0, "the running job goes on, and its input is handed over")
    third = Client(directory)
    try:
        while True:
            second.receive()
    except EOFError:
        check(True, "a newer daemon replaces the older")
    for job in (20, 21, 22):
        third.request(FORGET, struct.pack("<I", job))
    fourth = Client(directory)
    check(struct.unpack_from("<I", fourth.welcome[2])[0] == 0, "forgotten jobs are gone")
    return fourth


def test_malformed(client):
    for name, kind, body in (
        ("an unknown type", 77, b""),
        ("a short message", SIGNAL, b"\1"),
        ("a length beyond the end", SPAWN, struct.pack("<IIHHI", 1, 0, 0, 0, 0xFFFFFFFF)),
        ("a user's name with NUL", SPAWN, struct.pack("<IIHH", 1, 0, 0, 0) + block("\0nobody") + struct.pack("<IIII", 0, 0, 0, 0)),
        ("too many arguments", SPAWN, struct.pack("<IIHH", 1, 0, 0, 0) + block("") + struct.pack("<I", 0xFFFFFFFF)),
        ("a flag of a newer daemon", SPAWN, spawn_body(1, ["true"], flags=1 << 20)),
        ("a field of a newer daemon", SPAWN, spawn_body(1, ["true"], within=1) + b"\0\0\0\0"),
    ):
        answer = client.request(kind, body)
        check(answer[0] == ERROR and struct.unpack_from("<i", answer[2])[0] == 71, f"{name} is EPROTO", answer)
    client.spawn(5, ["sleep", "1000"])
    answer = client.spawn(5, ["true"])
    check(answer[0] == ERROR and struct.unpack_from("<i", answer[2])[0] == 17, "an id that is taken", answer)
    waiting = client.send(WAIT_EMPTY, b"")
    client.request(SIGNAL, struct.pack("<IiI", ALL_JOBS, 9, 0))
    check(client.answer(waiting)[0] == OK, "waiting until nothing is left")
    client.exited(5)
    client.request(FORGET, struct.pack("<I", 5))


def test_inside(directory, pid):
    """Root in the container's pid namespace, to which the socket is shown as by a careless bind mount."""
    hello = struct.pack("<HHII", 1, HELLO, 1, DAEMON)
    ask = (
        "import os, socket\n"
        "one = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)\n"
        f"one.settimeout({TIMEOUT})\n"
        "one.connect('run/wshd.sock')\n"
        "try:\n"
        f"    one.send({hello!r})\n"
        "    print(os.getuid(), len(one.recv(100)))\n"
        "except OSError as error:\n"
        "    print(os.getuid(), type(error).__name__)\n"
    )
    words = ["nsenter", "--target", str(pid), "--pid", sys.executable, "-c", ask]
    out = subprocess.run(words, cwd=directory, capture_output=True, timeout=TIMEOUT, check=False)
    told = out.stdout.decode().strip()
    check(told in ("0 0", "0 BrokenPipeError", "0 ConnectionResetError"), "who lives inside is turned away", out)


def children_of(pid):
    """Host pids of what init has started and has not collected."""
    with open(f"/proc/{pid}/task/{pid}/children", encoding="utf8") as file:
        return file.read().split()


def await_prepared(pid):
    """The number, as the container counts, of the shell below init `pid`, once it stands in the reading of its script."""

    def is_waiting():
        children = children_of(pid)
        try:
            return len(children) == 1 and os.readlink(f"/proc/{children[0]}/exe").endswith("/bash") and status_of(children[0], "State").startswith("S")
        except OSError:
            return False

    check(await_true(is_waiting), "a prepared shell waits", children_of(pid))
    return int(status_of(children_of(pid)[0], "NSpid").split()[-1])


def test_prepared(wshd, base):
    directory = f"{base}/prepared"
    os.mkdir(directory)
    make_container(directory, OWN_IDS)
    for path in ["/bin/bash", *needed_by("/bin/bash")]:
        os.makedirs(os.path.dirname(f"{directory}/rootfs{path}"), exist_ok=True)
        shutil.copy(path, f"{directory}/rootfs{path}")
    subprocess.check_call(["chown", "-R", "-h", "700000:700000", f"{directory}/rootfs"])
    launch = Launch(wshd, directory)
    check(launch.status == 0 and launch.reports[-1] == "ready", "a container of users of its own starts", launch.reports)
    pid = launch.pid
    client = Client(directory)
    check(struct.unpack_from("<II", client.welcome[2])[1] == 3, "its init says that it can prepare, and lend its memory", client.welcome)
    bash = dict(argv=["/bin/bash"], user="vcap", env=["A=b"], limits=[(7, 64, 64)])
    look = b"set -- /proc/[0-9]*; echo $#"
    state = rb"""
echo "$_ $? $# $0 $- $LINENO $SECONDS $PPID $PWD $SHLVL ${#BASH_SOURCE[@]} $BASH_ENV" 0>&0
declare -p | grep -v -E ' (BASHPID|EPOCH|RANDOM|SRANDOM|BASH_ARG[CV0]*|_)'; declare -F; set -o; shopt; trap; ulimit -a; umask; ls /proc/self/fd; readlink /proc/self/fd/0; env
cut -d' ' -f7,8,19 /proc/self/stat; grep -E '^(Sig|Cap|NoNew|Secc|Groups|Uid)' /proc/self/status
head -n 1
left for head
read line
left for read
echo "$line"; wc -c < /dev/stdin; exit 7
""".lstrip()
    usual = client.run(1, stdin=state, **bash)
    lent = client.run(1, stdin=state, flags=ROOMY, **bash)
    client.prepare(**bash)
    await_prepared(pid)
    found = client.run(1, stdin=state, **bash)
    lines = lambda out: [line for line in out.decode().split("\n") if not re.search(r"BASH_VERSINFO|PPID=|\bSECONDS=", line)]
    difference = lambda other: [pair for pair in zip(lines(usual[1]), lines(other[1])) if pair[0] != pair[1]]
    check(usual[0] >> 8 == 7 and b"left for head\nleft for read\n" in usual[1] and len(lines(usual[1])) > 120, "a script that tells all it sees", usual)
    check(lent[0] == usual[0] and lent[2] == usual[2] and difference(lent) == [] and len(lent[1]) == len(usual[1]), "sees the same where it began in the memory of init", (difference(lent), lent[2]))
    check(found[0] == usual[0] and found[2] == usual[2] and difference(found) == [] and len(found[1].split(b"\n")) == len(usual[1].split(b"\n")), "sees the same in a prepared shell", (difference(found), found[2], usual[2]))
    client.prepare(flags=ROOMY, **bash)
    inside = await_prepared(pid)
    answer = client.spawn(1, stdin=b"kill -9 $$", **bash)
    check(struct.unpack_from("<Ii", answer[2])[1] == inside and client.exited(1) == 9, "it is the process that waited, and its end the job's", answer)
    for fd in answer[3]:
        os.close(fd)
    client.request(FORGET, struct.pack("<I", 1))
    for _ in range(3):
        status, out, err = client.run(1, stdin=b"echo $$", within=20_000, **bash)
        check(await_true(lambda: len(children_of(pid)) == 1), "behind a job that expects another one is prepared")
        inside = await_prepared(pid)
    out = client.run(1, stdin=b"echo $$", **bash)[1]
    check(out == b"%d\n" % inside and children_of(pid) == [], "and is the next one, behind which none is", (out, inside))
    for name, meanwhile in (
        ("a signal", lambda: client.request(SIGNAL, struct.pack("<IiI", 77, 0, 0))),
        ("another job", lambda: client.run(2, ["true"])),
        ("an operator", lambda: Client(directory, OPERATOR).close()),
        ("no time for any", lambda: client.send(PREPARE, struct.pack("<I", 0))),
    ):
        answer = client.spawn(1, stdin=b"sleep 0.3", within=20_000, **bash)
        meanwhile()
        client.exited(1)
        for fd in answer[3]:
            os.close(fd)
        client.request(FORGET, struct.pack("<I", 1))
        check(not await_true(lambda: children_of(pid) != [], 0.03), f"none is expected any more after {name}")
    answer = client.spawn(1, stdin=b"sleep 0.3", within=20_000, **bash)
    client.close()
    check(await_true(lambda: children_of(pid) == []), "nor after the end of the daemon")
    client = Client(directory)
    client.request(FORGET, struct.pack("<I", 1))
    for flags in (TTY, DISCARD, STDIN_PIPE):
        answer = client.spawn(1, flags=flags, within=20_000, **dict(bash, argv=["/bin/true"]))
        client.exited(1)
        for fd in answer[3]:
            os.close(fd)
        client.request(FORGET, struct.pack("<I", 1))
        check(not await_true(lambda: children_of(pid) != [], 0.03), "nor behind one whose streams are others")
    status, out, err = client.run(1, stdin=b"exec >/dev/null 2>&1; (sleep 1000 &)", within=20_000, **bash)
    check(len(children_of(pid)) == 1, "while something that was left behind runs there is none", children_of(pid))
    client.request(SIGNAL, struct.pack("<IiI", ALL_JOBS, 9, 0))
    client.request(WAIT_EMPTY)
    client.run(1, stdin=b"exec >/dev/null 2>&1; (sleep 0.3 &)", within=20_000, **bash)
    check(await_true(lambda: children_of(pid) == []) and not await_true(lambda: children_of(pid) != [], 0.3), "nor when that ends, however late")
    for delay in (0, 0.001, 0.002, 0.2):
        client.prepare(["sh"])
        time.sleep(delay)
        out = client.run(1, ["sh"], stdin=b"echo x$BASH_ENV; exit 5")
        check(out == (5 << 8, b"x\n", b""), "a shell that does not wait gets no script", out)
        client.prepare(**bash)
        await_prepared(pid)
        client.run(1, stdin=b"true", **bash)
    for name, script, expected in (("no", b"", b""), ("a short", b"echo a", b"a\n"), ("a long", b"#" * 30_000 + b"\necho b", b"b\n")):
        client.prepare(**bash)
        await_prepared(pid)
        out = client.run(1, stdin=script, **bash)
        check(out == (0, expected, b"") and children_of(pid) == [], f"{name} script", out)
    for name, other in (
        ("another user", dict(bash, user="")),
        ("another environment", dict(bash, env=["A=c"])),
        ("one variable more", dict(bash, env=["A=b", "B=b"])),
        ("another program", dict(bash, argv=["ash"])),
        ("arguments", dict(bash, argv=["/bin/bash", "-s"])),
        ("another limit", dict(bash, limits=[(7, 64, 65)])),
        ("other flags", dict(bash, flags=TREE)),
        ("another directory", dict(bash, directory="/tmp")),
    ):
        seen = set()
        for _ in range(5):
            client.prepare(**bash)
            [waiting] = children_of(pid)
            seen.add(client.run(1, **{"stdin": look, **other})[1])
            check(not is_alive(int(waiting)), f"{name}: the prepared one is gone")
        check(seen == {b"2\n"}, f"{name}: a job that is alone", seen)
    client.prepare(**bash)
    operator = Client(directory, OPERATOR)
    out = read_all(operator.spawn(0, stdin=look, **bash)[3][0])
    check(out == b"2\n", "an operator neither gets nor sees it", out)
    operator.close()
    await_true(lambda: children_of(pid) == [])
    client.prepare(**bash)
    check(client.request(WAIT_EMPTY)[0] == OK and children_of(pid) == [], "who waits until nothing is left does not wait for it")
    client.prepare(milliseconds=1, **bash)
    check(await_true(lambda: children_of(pid) == []), "it ends when its time is over")
    client.prepare(milliseconds=300, **bash)
    [waiting] = children_of(pid)
    client.prepare(milliseconds=20_000, **bash)
    time.sleep(0.5)
    check(children_of(pid) == [waiting], "the same once more is more time")
    client.send(PREPARE, struct.pack("<I", 0))
    check(await_true(lambda: children_of(pid) == []), "no time at all is its end")
    client.spawn(5, ["sleep", "1000"])
    client.prepare(**bash)
    check(len(children_of(pid)) == 1, "nothing is prepared beside a job")
    client.request(SIGNAL, struct.pack("<IiI", 5, 9, 0))
    client.exited(5)
    client.request(FORGET, struct.pack("<I", 5))
    check(client.sh(1, "exec >/dev/null 2>&1; (sleep 1000 &) ; (sleep 1000 &) ; true")[0] == 0, "a job that leaves processes behind")
    client.prepare(**bash)
    check(len(children_of(pid)) == 2, "nothing is prepared beside them", children_of(pid))
    client.request(SIGNAL, struct.pack("<IiI", ALL_JOBS, 9, 0))
    client.request(WAIT_EMPTY)
    storm = ["sh", "-c", "while :; do sleep 1000 & done"]
    client.prepare(storm, milliseconds=500, limits=[(6, 60, 60)])
    await_true(lambda: len(children_of(pid)) > 0)
    time.sleep(0.2)
    out = client.run(1, stdin=look, **bash)[1]
    check(out == b"2\n", "nothing of what one has started is there for the next job", out)
    client.prepare(["sh", "-c", "trap '' TERM HUP; (sleep 1000 &) ; sleep 1000"], milliseconds=500)
    check(await_true(lambda: len(children_of(pid)) == 2) and await_true(lambda: children_of(pid) == []), "with it ends what it has started")
    hostile = ["sh", "-c", "exec 4>/proc/self/fd/3; cat /dev/zero >&4"]
    client.prepare(hostile)
    time.sleep(0.2)
    status, out, err = client.run(1, argv=["/bin/bash"], stdin=look)
    check((status, out) == (0, b"2\n"), "one that fills what it should read keeps init from nothing", (status, out, err))
    for name, body in (
        ("a number", struct.pack("<I", 1) + spawn_body(1, ["sh"])),
        ("input", struct.pack("<I", 1) + spawn_body(0, ["sh"], stdin=b"true")),
        ("a terminal", struct.pack("<I", 1) + spawn_body(0, ["sh"], flags=TTY)),
        ("discarded output", struct.pack("<I", 1) + spawn_body(0, ["sh"], flags=DISCARD)),
        ("no program", struct.pack("<I", 1) + spawn_body(0, [])),
        ("a flag of a newer daemon", struct.pack("<I", 1) + spawn_body(0, ["sh"], flags=1 << 20)),
        ("nothing", b""),
        ("half of it", struct.pack("<I", 1) + spawn_body(0, ["sh"])[:-6]),
    ):
        answer = client.request(PREPARE, body)
        check(answer[0] == ERROR and struct.unpack_from("<i", answer[2])[0] == 71, f"to prepare with {name} is EPROTO", answer)
    check(children_of(pid) == [], "and starts nothing")
    client.prepare(**bash)
    client.close()
    check(await_true(lambda: children_of(pid) == []), "it ends with the daemon")
    client = Client(directory)
    client.prepare(**bash)
    client = Client(directory)
    check(await_true(lambda: children_of(pid) == []), "the next daemon does not find it")
    for argv in (["sh", "-c", "(sleep 1000 &); exit"], ["no-such-program"]):
        client.prepare(argv)
        check(await_true(lambda: children_of(pid) == []), "one that does not wait leaves nothing behind")
    client.prepare(**bash)
    check(children_of(pid) == [], "where two have not waited there is no third")
    status, _, err = client.run(1, ["no-such-program"])
    check(status >> 8 == 255 and b"no-such-program" in err, "a program that cannot be started is still the job's own end", (status, err))
    os.kill(pid, signal.SIGKILL)
    await_true(lambda: not is_alive(pid))


def needed_by(program):
    """The dynamic linker and the libraries of a program, as absolute paths."""
    return [word for line in subprocess.check_output(["ldd", program], text=True).splitlines() for word in line.split() if word.startswith("/")]


def sockets_of(pid):
    """How many of a process's descriptors are sockets; one that it closes meanwhile is none."""
    count = 0
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            count += os.readlink(f"/proc/{pid}/fd/{fd}").startswith("socket:")
        except FileNotFoundError:
            pass
    return count


def status_of(pid, field):
    with open(f"/proc/{pid}/status", encoding="utf8") as file:
        return next(line.split(":")[1].strip() for line in file if line.startswith(field + ":"))


def raw_connection(directory):
    """A client that says and reads only what a test wants."""
    raw = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    fd = os.open(directory, os.O_PATH)
    try:
        raw.connect(f"/proc/self/fd/{fd}/run/wshd.sock")  # blocking: with a timeout it fails when the backlog is full
    finally:
        os.close(fd)
    raw.settimeout(TIMEOUT)
    return raw


def message(kind, body=b"", sequence=1):
    return struct.pack("<HHI", 1, kind, sequence) + body


def ring_of(client, job):
    return b"".join(one[2][20:] for one in client.handed_over if one[0] == RING and struct.unpack_from("<II", one[2]) == (job, 1))


def test_lost_hand_over(client, directory):
    answer = client.spawn(30, ["sh", "-c", "echo kept; sleep 1000"])
    for fd in answer[3]:
        os.close(fd)
    client.close()
    time.sleep(1)
    for reads in (0, 1):
        raw = raw_connection(directory)
        raw.send(message(HELLO, struct.pack("<I", DAEMON)))
        for _ in range(reads):
            raw.recv(65536)
        time.sleep(0.1)
        raw.close()
    raw = raw_connection(directory)
    raw.send(message(HELLO, struct.pack("<I", DAEMON)))
    time.sleep(0.1)
    second = Client(directory)  # a successor, while the older one lives and has read nothing
    raw.close()
    check(ring_of(second, 30) == b"kept\n", "a daemon that dies in the hand-over leaves all to the next", second.handed_over)
    second.close()
    again = Client(directory)
    check(ring_of(again, 30) == b"kept\n", "nor is it enough that it has read all: it may not have put it away", again.handed_over)
    again.request(FORGET, struct.pack("<I", 0))
    again.close()
    third = Client(directory)
    check(ring_of(third, 30) == b"", "what a daemon has answered for is not handed over again", third.handed_over)
    position, lost = [struct.unpack_from("<IIiIQQIIQQ", one[2]) for one in third.handed_over if one[0] == JOB][0][4::4]
    check((position, lost) == (5, 0), "positions count on", (position, lost))
    third.request(SIGNAL, struct.pack("<IiI", 30, 9, 0))
    third.exited(30)
    third.request(FORGET, struct.pack("<I", 30))
    return third


def test_misbehaving(client, directory, pid):
    open_before = len(os.listdir(f"/proc/{pid}/fd"))
    raw = raw_connection(directory)
    raw.send(message(WAIT_EMPTY))
    check(struct.unpack_from("<HHI", raw.recv(65536))[1] == ERROR, "a request before HELLO is refused")
    raw.send(message(HELLO, struct.pack("<I", OPERATOR)))
    raw.recv(65536), raw.recv(65536)
    raw.send(b"")
    check(struct.unpack_from("<HHI", raw.recv(65536))[1] == ERROR, "an empty packet is answered")
    raw.send(b"\1\0")
    check(struct.unpack_from("<HHI", raw.recv(65536))[1] == ERROR, "a packet shorter than a header is answered")
    raw.send(message(FORGET, sequence=9))
    check(struct.unpack_from("<HHI", raw.recv(65536))[1:] == (ERROR, 9), "a request without its body is answered")
    raw.send(message(SPAWN, b"x" * 70000, sequence=10))
    check(struct.unpack_from("<HHI", raw.recv(65536))[1:] == (ERROR, 10), "a packet that is too long is answered")
    null = os.open("/dev/null", os.O_RDONLY)
    raw.sendmsg([message(FORGET, struct.pack("<I", 1), 11)], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [null] * 40))])
    check(struct.unpack_from("<HHI", raw.recv(65536))[1:] == (ERROR, 11), "too many descriptors are answered")
    raw.sendmsg([message(FORGET, struct.pack("<I", 1), 12)], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [null] * 3))])
    check(struct.unpack_from("<HHI", raw.recv(65536))[1:] == (OK, 12), "descriptors nobody asked for are closed")
    os.close(null)
    sent = 0
    raw.settimeout(0.5)
    try:
        while sent < 100000:
            raw.send(message(SIGNAL, struct.pack("<IiI", 1, 0, 0)))
            sent += 1
    except TimeoutError:
        pass
    check(sent < 100000, "who floods and never reads is stopped at the sender", sent)
    check(client.sh(1, "echo alive")[1] == b"alive\n", "others are served meanwhile")
    raw.close()
    crowd = [raw_connection(directory) for _ in range(80)]
    check(client.sh(1, "echo alive")[1] == b"alive\n", "a crowd of silent connections")
    for one in crowd:
        one.close()
    answer = client.spawn(2, ["sh", "-c", "i=0; while [ $i -lt 3000 ]; do (:&); i=$((i+1)); done; exit 3"])
    check(client.exited(2) >> 8 == 3, "a storm of orphans")
    client.request(FORGET, struct.pack("<I", 2))
    for fd in answer[3]:
        os.close(fd)
    operator = Client(directory, OPERATOR)
    answer = operator.spawn(0, ["sh", "-c", "trap '' HUP; while :; do echo x; done"])
    job_pid = struct.unpack_from("<Ii", answer[2])[1]
    operator.close()
    for fd in answer[3]:
        os.close(fd)
    gone = await_true(lambda: client.sh(1, f"test -d /proc/{job_pid} || echo gone")[1] == b"gone\n")
    check(gone, "a job that ignores the hang-up meets a closed pipe")
    check(await_true(lambda: len(os.listdir(f"/proc/{pid}/fd")) == open_before), "no descriptor is left in init", (open_before, os.listdir(f"/proc/{pid}/fd")))


def left_to(client):
    return {struct.unpack_from("<I", one[2])[0] for one in client.handed_over if one[0] == JOB}


def ask_until_full(client, jobs):
    """Asks to forget these jobs, as far as the socket takes it; answers which."""
    client.socket.settimeout(0.5)
    asked = set()
    try:
        for job in jobs:
            client.send(FORGET, struct.pack("<I", job))
            asked.add(job)
    except TimeoutError:
        pass
    client.socket.settimeout(TIMEOUT)
    return asked


def successor(directory, pid):
    """A daemon that is at the door before a stopped init has read any of what its predecessor asked for."""
    raw = raw_connection(directory)
    raw.send(message(HELLO, struct.pack("<I", DAEMON)))
    os.kill(pid, signal.SIGCONT)
    left = set()
    while True:
        _, kind, _ = struct.unpack_from("<HHI", answer := raw.recv(65536))
        if kind == READY:
            raw.close()
            return left
        if kind == JOB:
            left.add(struct.unpack_from("<I", answer, 8)[0])


def test_succession(client, directory, pid):
    """What a daemon asked for is done before its successor is answered; and one that goes on asking holds up nobody."""
    jobs = set(range(6000, 6150))
    for lives in (False, True):
        for job in jobs:
            client.spawn(job, ["true"], flags=DISCARD)
        for job in jobs:
            client.exited(job)
        os.kill(pid, signal.SIGSTOP)
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 200000)  # more than init does in the turn in which it hears of the next one
        asked = ask_until_full(client, jobs)
        if not lives:
            client.close()
        left = successor(directory, pid)
        name = f"a daemon that {'is replaced' if lives else 'was killed'} is obeyed before its successor is answered"
        check(len(asked) > 64 and left == jobs - asked, name, (len(asked), len(left)))
        client.close()
        client = Client(directory)
        for job in jobs - asked:
            client.request(FORGET, struct.pack("<I", job))
    flooder = os.fork()
    if flooder == 0:
        try:
            while True:
                client.send(SIGNAL, struct.pack("<IiI", 1, 0, 0))
        except OSError:
            os._exit(0)
    client.close()
    client = Client(directory)
    check(client.sh(1, "echo alive")[1] == b"alive\n", "a daemon that goes on asking is replaced all the same")
    check(os.waitpid(flooder, 0)[1] == 0, "and is told so")
    return client


def test_leaving(client, directory, pid):
    """What was asked for before a hang-up is done, though nobody reads the answers."""
    for unread in (False, True):
        for job in (40, 41):
            client.spawn(job, ["true"], flags=DISCARD)
            client.exited(job)
        if unread:  # then the socket tells init so, in front of the requests
            client.send(SIGNAL, struct.pack("<IiI", 1, 0, 0))
            client.socket.recv(65536, socket.MSG_PEEK)
        os.kill(pid, signal.SIGSTOP)
        for job in (40, 41):
            client.send(FORGET, struct.pack("<I", job))
        client.close()
        os.kill(pid, signal.SIGCONT)
        client = Client(directory)
        check(left_to(client) == set(), f"a daemon that goes with answers {'unread' if unread else 'read'} is obeyed to its end", left_to(client))
    client = test_succession(client, directory, pid)
    before = sockets_of(pid)
    jobs = set(range(5000, 6000))
    for job in jobs:
        client.spawn(job, ["true"], flags=DISCARD)
    for job in jobs:
        client.exited(job)
    asked = ask_until_full(client, jobs)
    client.close()
    check(await_true(lambda: sockets_of(pid) == before - 1), "a daemon that goes while init waits for it to read is noticed", (before, sockets_of(pid)))
    client = Client(directory)
    check(0 < len(asked) < len(jobs) and left_to(client) == jobs - asked, "and obeyed to its end", (len(asked), len(left_to(client))))
    for job in jobs - asked:
        client.request(FORGET, struct.pack("<I", job))
    return client


def test_process_alone(client, directory):
    answer = client.spawn(3, ["sh", "-c", "sleep 1000 & echo up; wait"])
    os.set_blocking(answer[3][0], True)
    os.read(answer[3][0], 10)
    left = lambda: client.sh(1, "grep -l ^sleep /proc/[0-9]*/cmdline | wc -l")[1].strip()  # noqa: E731
    check(await_true(lambda: left() == b"1"), "a child of the job runs in its process group", left())
    client.request(SIGNAL, struct.pack("<IiI", 3, 9, 0))
    check(client.exited(3) == 9 and left() == b"1", "a signal without the tree is for the job's process alone", left())
    client.request(SIGNAL, struct.pack("<IiI", ALL_JOBS, 9, 0))
    client.request(WAIT_EMPTY)
    client.request(FORGET, struct.pack("<I", 3))
    for fd in answer[3]:
        os.close(fd)
    operator = Client(directory, OPERATOR)
    answer = operator.spawn(0, ["sh", "-c", "sleep 1000 & echo up; wait"])
    os.set_blocking(answer[3][0], True)
    os.read(answer[3][0], 10)
    check(await_true(lambda: left() == b"1"), "an operator's job has a child", left())
    operator.close()
    for fd in answer[3]:
        os.close(fd)
    check(await_true(lambda: left() == b"0"), "which hears of the hang-up, as from a terminal", left())
    return client


def test_stopped_tree(client):
    answer = client.spawn(3, ["sh", "-c", "for i in 1 2 3; do sleep 1000 & done; echo up; wait"], flags=TREE)
    os.set_blocking(answer[3][0], True)
    os.read(answer[3][0], 10)
    client.request(SIGNAL, struct.pack("<IiI", 3, signal.SIGSTOP, 1))
    client.request(SIGNAL, struct.pack("<IiI", 3, 9, 1))
    check(client.exited(3) == 9, "a stopped tree is killed")
    left = lambda: client.sh(1, "grep -l ^sleep /proc/[0-9]*/cmdline | wc -l")[1].strip()  # noqa: E731
    check(await_true(lambda: left() == b"0"), "and all of it", left())
    check(client.request(SIGNAL, struct.pack("<IiI", 3, 9, 1))[0] == OK, "a signal for a tree whose root has ended")
    client.request(FORGET, struct.pack("<I", 3))
    for fd in answer[3]:
        os.close(fd)


def test_fought_tree(client, directory):
    """A tree that never holds still, because others wake it as fast as it is stopped: init kills it, and serves on."""
    shutil.copy(os.environ["WSHD_RESTLESS"], f"{directory}/rootfs/bin/restless")
    # first the tree: under its wakers a fork takes 40 ms on some machines
    out, err = client.spawn(3, ["restless", "tree"], flags=TREE, user="vcap")[3]
    os.set_blocking(out, True)
    for _ in range(3):  # of each line
        os.read(out, 3)
    cat = client.spawn(50, ["cat"], flags=STDIN_PIPE, user="vcap")[3]
    wakers = {job: client.spawn(job, ["restless", "wake"], user="vcap")[3] for job in range(51, 55)}
    for fds in wakers.values():
        os.set_blocking(fds[0], True)
        os.read(fds[0], 3)
    check(client.request(SIGNAL, struct.pack("<IiI", 3, 9, 1))[0] == OK, "a tree that others wake as fast as it is stopped")
    check((client.exited(3), read_all(out)) == (9, b""), "is dead when that is answered, all of it")
    os.write(cat[0], b"on\n")
    os.set_blocking(cat[1], True)
    check(os.read(cat[1], 10) == b"on\n", "and whoever is none of it goes on")
    for job in (*wakers, 50):
        client.request(SIGNAL, struct.pack("<IiI", job, signal.SIGKILL, 0))
        client.exited(job)
    for job in (3, 50, *wakers):
        client.request(FORGET, struct.pack("<I", job))
    for fd in (err, *cat, *sum(wakers.values(), [])):
        os.close(fd)


def test_thousands(client, directory):
    start = time.monotonic()
    for n in range(2500):
        client.spawn(10000 + n, ["sleep", "1000"], flags=DISCARD)
    client.request(SIGNAL, struct.pack("<IiI", ALL_JOBS, 9, 0))
    check(all(client.exited(10000 + n) == 9 for n in range(2500)), f"thousands of jobs end at once ({time.monotonic() - start:.2f} s)")
    client.close()
    second = Client(directory)
    jobs = {struct.unpack_from("<I", one[2])[0] for one in second.handed_over if one[0] == JOB}
    check(jobs == set(range(10000, 12500)), "thousands are handed over as they are read", len(jobs))
    for n in range(2500):
        second.request(FORGET, struct.pack("<I", 10000 + n))
    third = Client(directory)
    check(third.handed_over == [], "and forgotten", len(third.handed_over))
    return third


def test_many(client):
    start = time.monotonic()
    bad = [n for n in range(1000) if client.run(1000 + n, ["echo", str(n)]) != (0, b"%d\n" % n, b"")]
    took = time.monotonic() - start
    check(bad == [], f"a thousand jobs in a row ({took:.2f} s)", bad[:5])
    for n in range(300):
        client.spawn(5000 + n, ["true"], flags=DISCARD)
    check(all(client.exited(5000 + n) == 0 for n in range(300)), "three hundred at once")
    for n in range(300):
        client.request(FORGET, struct.pack("<I", 5000 + n))
    zombies = client.sh(1, "grep -l '^State:.Z' /proc/[0-9]*/status | wc -l")[1]
    check(zombies.strip() == b"0", "no zombie", zombies)


def test_without_descriptors(client, directory, pid):
    """With none left, who comes is turned away, and who is there is served."""
    await_true(lambda: sockets_of(pid) == 2)  # the listener's, and the client's
    taken = {int(fd) for fd in os.listdir(f"/proc/{pid}/fd")}
    free = next(fd for fd in range(512) if fd not in taken)
    limits = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (free, limits[1]))
    for attempt in ("first", "second"):
        with raw_connection(directory) as raw:
            check(raw.recv(10) == b"", f"the {attempt} client for whom there is no descriptor is turned away")
        check(client.request(SIGNAL, struct.pack("<IiI", 1, 0, 0))[0] == OK, "and the one that is there is served")
    resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)
    other = Client(directory, OPERATOR)
    check(other.welcome[0] == WELCOME, "others are again when there are some")
    other.close()


def test_descriptors_kept(wshd, base):
    """Jobs cannot take the last descriptors: who comes to end them is served."""
    directory = f"{base}/descriptors"
    os.mkdir(directory)
    make_container(directory)
    launch = Launch(wshd, directory, files=512)
    client = Client(directory)
    refused = None
    for job in range(1, 600):
        answer = client.spawn(job, ["sleep", "1000"])
        for fd in answer[3]:
            os.close(fd)
        if answer[0] == ERROR:
            refused = (struct.unpack_from("<I", answer[2])[0], b"open streams" in answer[2], job)
            break
    check(refused is not None and refused[:2] == (24, True) and refused[2] > 150, "jobs are refused when few descriptors are left", refused)
    others = [Client(directory, OPERATOR) for _ in range(20)]
    check(all(one.welcome[0] == WELCOME for one in others), "and clients are not")
    check(others[0].request(SIGNAL, struct.pack("<IiI", ALL_JOBS, signal.SIGKILL, 0))[0] == OK, "who end all jobs")
    statuses = [client.exited(job) for job in range(1, refused[2])]
    check(set(statuses) == {signal.SIGKILL}, "every one of them", statuses[:5])
    for job in range(1, refused[2]):
        client.request(FORGET, struct.pack("<I", job))
    check(client.sh(1, "echo again")[1] == b"again\n", "then there is room for others")
    for one in others:
        one.close()
    test_without_descriptors(client, directory, launch.pid)
    os.kill(launch.pid, signal.SIGKILL)
    check(await_true(lambda: not is_alive(launch.pid)), "a container with few descriptors ends")


def test_errors(wshd, base):
    cases = (
        ("fstab", dict(fstab="rootfs / none\n"), "error plan 22 0 etc/fstab:1 "),
        ("target", dict(fstab="rootfs /x none bind 0 0\n"), "error plan 22 0 etc/fstab:1 "),
        ("key", dict(conf="hostname h\nbogus 1\n"), "error plan 22 0 etc/wshd.conf:2 "),
        ("source", dict(extra="/no/such\\040source /x none bind,x-warden.create=dir 0 0\n"), "error mount 2 0 /no/such\\040source "),
        ("cgroup", dict(conf="cgroup /no/such/cgroup.procs\n"), "error cgroup 2 0 /no/such/cgroup.procs "),
        ("reserve", dict(conf="reserve /dev/null /no/such/cgroup.procs\n"), "error cgroup 2 0 /no/such/cgroup.procs "),
        ("interface", dict(conf="interface absent0\n"), "error network 19 0 absent0 "),
    )
    for name, options, expected in cases:
        directory = f"{base}/error-{name}"
        os.mkdir(directory)
        make_container(directory, **options)
        launch = Launch(wshd, directory)
        check(launch.error.startswith(expected) and launch.status == 1, f"failure is reported: {name}", launch.reports)
        check(launch.pid == 0 or await_true(lambda pid=launch.pid: not is_alive(pid)), f"and everything is dead: {name}")
    for hook in ("parent-before-clone", "parent-after-clone", "child-before-pivot", "child-after-pivot"):
        directory = f"{base}/error-{hook}"
        os.mkdir(directory)
        make_container(directory)
        write_hook(directory, hook, "exit 7")
        launch = Launch(wshd, directory)
        check(launch.error.startswith(f"error hook-{hook}.sh 0 7 ") and launch.status == 1, f"a failing hook: {hook}", launch.reports)
        directory = f"{base}/unseen-{hook}"
        os.mkdir(directory)
        make_container(directory)
        # as one on a disk that cannot tell of it: nobody knows what it would have done
        os.symlink(f"hook-{hook}.sh", f"{directory}/lib/hook-{hook}.sh")
        launch = Launch(wshd, directory)
        status = 2 if hook == "child-after-pivot" else 127  # what the shell says of it that runs that one
        check(launch.error.startswith(f"error hook-{hook}.sh 0 {status} ") and launch.status == 1, f"a hook that cannot be looked at: {hook}", launch.reports)
    test_early_launches(wshd, base)
    test_killed_launches(wshd, base)
    test_descriptors_in_flight(wshd, base)
    directory = f"{base}/peer"
    os.mkdir(directory)
    make_container(directory)
    launch = Launch(wshd, directory, go=False)
    launch.channel.close()
    launch.process.wait(TIMEOUT)
    check(await_true(lambda: not is_alive(launch.pid)), "a daemon that dies before go takes all along")


def state(pid):
    with open(f"/proc/{pid}/stat", encoding="utf8") as file:
        return file.read().rsplit(")", 1)[1].split()[0]


def start_early(wshd, directory):
    mine, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    mine.settimeout(TIMEOUT)
    process = subprocess.Popen(
        [wshd, "--run", "./run", "--lib", "./lib", "--root", "./mnt", "--title", directory, "--early", "--sync-fd", str(theirs.fileno())],
        cwd=directory, pass_fds=[theirs.fileno()], stderr=subprocess.PIPE,
    )
    theirs.close()
    return process, mine


def test_early_launches(wshd, base):
    """Started before the directory is made, and told when it is."""
    directory = f"{base}/early"
    os.mkdir(directory)
    process, mine = start_early(wshd, directory)
    own = lambda pid: os.readlink(f"/proc/{pid}/ns/net")  # noqa: E731
    waits = await_true(lambda: state(process.pid) == "S")
    make_container(directory)
    mine.send(b"prepared")
    word, pid = mine.recv(4096).decode().split()
    # what the launcher is in is what hooks of the host are in
    check(waits and word == "cloned" and own(int(pid)) != own("self") and own(process.pid) == own("self"), "an early launch goes on", (waits, word))
    mine.send(b"go")
    check(mine.recv(4096) == b"ready" and process.wait(TIMEOUT) == 0, "an early launch is ready")
    mine.close()
    client = Client(directory)
    out = client.sh(1, "ip -o link | cut -d: -f2")[1]
    check(out == b" lo\n", "an early launch has a network of its own", out)
    client.close()
    os.kill(int(pid), signal.SIGKILL)
    await_true(lambda: not is_alive(int(pid)))
    for name, word in (("a wrong word", b"go"), ("the end of the daemon", None)):
        directory = f"{base}/early-{len(os.listdir(base))}"
        os.mkdir(directory)
        process, mine = start_early(wshd, directory)
        if word:
            mine.send(word)
        else:
            mine.close()
        check(process.wait(TIMEOUT) == 1 and os.listdir(directory) == [], f"an early launch ends with {name}")
        mine.close()
    directory = f"{base}/early-missing"
    os.mkdir(directory)
    process, mine = start_early(wshd, directory)
    mine.send(b"prepared")
    complaint = process.stderr.read()
    check(process.wait(TIMEOUT) == 1 and b'stat("./run")' in complaint, "an early launch looks for its directories then", complaint)
    mine.close()


def ticks(pid):
    with open(f"/proc/{pid}/stat", encoding="utf8") as file:
        return sum(map(int, file.read().rsplit(")", 1)[1].split()[11:13]))


def hold_in_flight(user, count):
    """A process of that user with so many descriptors on their way; ends when the answer is closed."""
    mine, its = socket.socketpair()
    if os.fork() == 0:
        mine.close()
        os.setgroups([])
        os.setresgid(user, user, user)
        os.setresuid(user, user, user)
        one, other = socket.socketpair()
        for _ in range(count // 200):
            socket.send_fds(one, [b"x"], [one.fileno()] * 200)
        its.send(b"held")
        its.recv(1)
        os._exit(0)
    its.close()
    return mine


def test_descriptors_in_flight(wshd, base):
    """Whoever is root inside has init's uid, for which the kernel counts the descriptors that are on their way."""
    directory = f"{base}/in-flight"
    os.mkdir(directory)
    make_container(directory, OWN_IDS)
    launch = Launch(wshd, directory, files=300)
    client = Client(directory)
    holder = hold_in_flight(700000, 800)
    held = holder.recv(4)
    sequence = client.send(SPAWN, spawn_body(1, ["sh", "-c", "echo out"]))
    client.socket.settimeout(1)
    try:
        told = client.answer(sequence)
    except TimeoutError:
        told = None
    client.socket.settimeout(TIMEOUT)
    before = ticks(launch.pid)
    time.sleep(1)
    used = ticks(launch.pid) - before
    check(held == b"held" and told is None, "an answer with descriptors waits while too many are on their way", (held, told))
    check(used < os.sysconf("SC_CLK_TCK") / 5, "init sleeps meanwhile", used)
    other = Client(directory, OPERATOR)
    check(other.request(HELLO, struct.pack("<I", OPERATOR)) is not None, "and serves others")
    other.close()
    holder.close()
    os.wait()
    answer = client.answer(sequence)
    check(answer[0] == SPAWNED and read_all(answer[3][0]) == b"out\n", "and the answer comes when there are fewer", answer)
    client.close()
    os.kill(launch.pid, signal.SIGKILL)
    await_true(lambda: not is_alive(launch.pid))


def test_killed_launches(wshd, base):
    for hook in ("parent-before-clone", "parent-after-clone", "child-before-pivot", "child-after-pivot"):
        for end in ("launcher", "daemon"):
            directory = f"{base}/{end}-{hook}"
            os.mkdir(directory)
            make_container(directory)
            # after the pivot the hook's own directory is the host's below /mnt
            write_hook(directory, hook, "readlink /proc/self >/dev/null; echo > hooked; exec sleep 1000")
            mine, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            mine.settimeout(TIMEOUT)
            process = subprocess.Popen(
                [wshd, "--run", "./run", "--lib", "./lib", "--root", "./mnt", "--title", directory, "--sync-fd", str(theirs.fileno())],
                cwd=directory, pass_fds=[theirs.fileno()],
            )
            theirs.close()
            pid = 0
            if hook != "parent-before-clone":
                pid = int(mine.recv(4096).decode().split()[1])
                mine.send(b"go")
            hooked = await_true(lambda d=directory: os.path.exists(f"{d}/hooked"))
            if end == "launcher":
                process.kill()
            else:
                mine.close()
            process.wait(TIMEOUT)
            mine.close()
            gone = await_true(lambda p=pid, d=directory: (p == 0 or not is_alive(p)) and not working_in(d))
            check(hooked and gone, f"the {end} ends during hook-{hook}: nothing is left", (hooked, pid, working_in(directory)))


def shares_memory(one, other):
    """None where the kernel does not tell, or not to us."""
    call = {"x86_64": 312, "aarch64": 272}[os.uname().machine]
    kcmp_vm = 1
    order = ctypes.CDLL(None).syscall(call, one, other, kcmp_vm, 0, 0)
    return None if order < 0 else order == 0


def mappings_of(pid):
    with open(f"/proc/{pid}/maps", encoding="utf8") as file:
        fields = [line.split() for line in file]
    return [(*(int(end, 16) for end in one[0].split("-")), one[1]) for one in fields]


def test_launchers_memory(wshd, base):
    """Init is born into the launcher's memory, unless the launcher has more to do than to wait."""
    with open(wshd, "rb") as file:
        may_lend = b"__asan_init" not in file.read()
    for hook in (False, True):
        directory = f"{base}/memory-{hook}"
        os.mkdir(directory)
        make_container(directory)
        if hook:
            write_hook(directory, "parent-after-clone", ":")
        launch = Launch(wshd, directory, go=False)
        shared = shares_memory(launch.process.pid, launch.pid)
        check(shared is None or shared == (may_lend and not hook), f"the launcher {'with' if hook else 'without'} a hook: its child's memory", shared)
        mappings = mappings_of(launch.pid)
        guarded = [
            (begin, end)
            for below, (begin, end, rights) in zip(mappings, mappings[1:])
            # what lies above it is one mapping with it on some kernels
            if rights == "rw-p" and end - begin >= 256 * 1024 and below == (begin - 64 * 1024, begin, "---p")
        ]
        check(len(guarded) == (1 if may_lend and not hook else 0), "a stack of its own, with a guard below", guarded)
        launch.channel.send(b"go")
        said = launch.channel.recv(4096)
        check(said == b"ready" and launch.process.wait(TIMEOUT) == 0, "and init outlives the launcher", said)
        client = Client(directory)
        out = [client.sh(job, "echo $((6 * 7)); exit 3")[:2] for job in range(1, 4)]
        check(out == [(3 << 8, b"42\n")] * 3, "and starts jobs", out)
        client.close()
        os.kill(launch.pid, signal.SIGKILL)
        await_true(lambda pid=launch.pid: not is_alive(pid))
    directory = f"{base}/memory-killed"
    os.mkdir(directory)
    make_container(directory)
    launch = Launch(wshd, directory, go=False)
    os.kill(launch.pid, signal.SIGKILL)
    launch.channel.send(b"go")
    said = launch.channel.recv(4096)
    check(said == b"error init 10 0 init init was killed by signal 9" and launch.process.wait(TIMEOUT) == 1, "a killed child is told of", said)


def test_deep_tree(wshd, base):
    """Whoever makes the root decides how deep it goes: the walk that gives it to the container's ids takes no stack for that."""
    depth = min(10_000, resource.getrlimit(resource.RLIMIT_NOFILE)[1] // 2)
    directory = f"{base}/deep"
    os.mkdir(directory)
    make_container(directory, OWN_IDS)
    descend = "import os, sys\nfor _ in range(int(sys.argv[1])):\n    os.mkdir('d')\n    os.chdir('d')\n"
    subprocess.run([sys.executable, "-c", descend, str(depth)], cwd=f"{directory}/rootfs/tmp", check=True)
    launch = Launch(wshd, directory)
    check(launch.reports[-1:] == ["ready"], f"a root with {depth} directories one in another", launch.reports)
    if launch.reports[-1:] == ["ready"]:
        owners = "import os, sys\nfor _ in range(int(sys.argv[1])):\n    os.chdir('d')\n    assert os.stat('.').st_uid == 700000\n"
        done = subprocess.run([sys.executable, "-c", owners, str(depth)], cwd=f"{directory}/rootfs/tmp", check=False)
        check(done.returncode == 0, "all of them are the container's")
        os.kill(launch.pid, signal.SIGKILL)
        await_true(lambda: not is_alive(launch.pid))
    # as many calls within one another as directories is what shutil.rmtree() would make
    subprocess.run(["rm", "-rf", f"{directory}/rootfs/tmp"], check=True)


def working_in(directory):
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            if os.readlink(f"/proc/{pid}/cwd").endswith(directory) and is_alive(int(pid)):
                found.append(pid)
        except OSError:
            continue
    return found


def test_homes(wshd, base):
    """Homes that an image names must not make init give away what is not the user's."""
    for name, home, owners in (
        ("the root", "/", {"": 0, "etc": 0}),
        ("the root by another name", "/tmp/..", {"": 0, "tmp": 0}),
        ("a link", "/link", {"": 0, "etc": 0}),
        ("a system directory", "/etc", {"etc": 0}),
        ("a device", "/etc/passwd", {"etc/passwd": 0}),
        ("a missing one", "/new/home", {"new": 0, "new/home": 10007}),
        ("its own", "/own", {"own": 10007}),
    ):
        directory = f"{base}/home-{len(os.listdir(base))}"
        os.mkdir(directory)
        make_container(directory)
        root = f"{directory}/rootfs"
        write(f"{root}/etc/passwd", f"root:x:0:0:root:/root:/bin/sh\nvcap:x:77:77::{home}:/bin/sh\n")
        os.symlink("/etc", f"{root}/link")
        os.mkdir(f"{root}/own")
        os.chown(f"{root}/own", 77, 77)
        launch = Launch(wshd, directory)
        got = {path: os.stat(f"{root}/{path}").st_uid for path in owners}
        check(launch.reports[-1:] == ["ready"] and got == owners, f"a home that is {name}", (launch.reports, got))
        with open(f"{root}/etc/hostname", encoding="utf8") as file:
            hostname = file.read()
        check(hostname == "inside\n", "/etc/hostname", hostname)
        if launch.pid:
            os.kill(launch.pid, signal.SIGKILL)
            await_true(lambda pid=launch.pid: not is_alive(pid))


def test_network_and_hooks(wshd, base):
    directory = f"{base}/network"
    os.mkdir(directory)
    make_container(
        directory,
        conf="hostname n\ninterface w-t-1\naddress 10.254.0.2/30\ngateway 10.254.0.1\ngateway_mac 02:00:00:00:00:01\nmtu 1400\n"
        "device fuse c 10 229 0666\nsymlink /proc/mounts /etc/mtab\ncapabilities a80425fb\nno_new_privs 1\n",
    )
    for hook, script in (
        ("parent-before-clone", "echo before ${PID-unset} >> seen"),
        ("parent-after-clone", "echo after $PID >> seen; cat /proc/self/oom_score_adj >> scores"),
        ("child-before-pivot", "echo pivot $$ >> seen; cat /proc/self/oom_score_adj >> scores"),
        ("child-after-pivot", "pwd > /hooked; echo after-pivot >> seen"),
    ):
        write_hook(directory, hook, script)

    def attach(pid):
        for command in (
            "link add w-t-0 type veth peer name w-t-1",
            f"link set w-t-1 netns {pid}",
            "link set w-t-0 address 02:00:00:00:00:01",
            "addr add 10.254.0.1/30 dev w-t-0",
            "link set w-t-0 up",
        ):
            subprocess.run(["ip", *command.split()], check=True)

    launch = Launch(wshd, directory, attach=attach)
    check(launch.reports[-1:] == ["ready"], "a container with a network starts", launch.reports)
    if launch.reports[-1:] != ["ready"]:
        return
    client = Client(directory)
    out = client.sh(1, "ip -o -4 addr show w-t-1; ip route; ip neigh; cat /sys/class/net/w-t-1/mtu 2>/dev/null; ip link show w-t-1")[1].decode()
    check("10.254.0.2/30" in out and "default via 10.254.0.1" in out and "mtu 1400" in out and ",UP" in out, "address, route and MTU", out)
    check("02:00:00:00:00:01" in out and "PERMANENT" in out, "the gateway is a permanent neighbour", out)
    check(client.sh(1, "ping -c 1 -W 2 10.254.0.1")[0] == 0, "the gateway answers")
    out = client.sh(1, "grep -E 'CapBnd|NoNewPrivs' /proc/self/status; readlink /etc/mtab; ls -l /dev/fuse | cut -c1-10; grep -c /mnt /proc/mounts; cat /hooked")[1]
    expected = f"CapBnd:\t00000000a80425fb\nNoNewPrivs:\t1\n/proc/mounts\ncrw-rw-rw-\n0\n/mnt{directory}\n".encode()
    # the order of the two lines of status is the kernel's
    check(sorted(out.split(b"\n")) == sorted(expected.split(b"\n")), "restrictions, device, link, and the old root is gone", out)
    with open(f"{directory}/seen", encoding="utf8") as file:
        seen = file.read()
    check(seen == f"before unset\nafter {launch.pid}\npivot {seen.split()[5]}\nafter-pivot\n", "the hooks ran in their order", seen)
    with open(f"{directory}/scores", encoding="utf8") as file:
        scores = file.read()
    check(scores == "0\n0\n", "what hooks start is not spared as init is when memory runs out", scores)
    os.kill(launch.pid, signal.SIGKILL)
    check(await_true(lambda: not is_alive(launch.pid)), "a container with a network ends")


def main(wshd):
    base = tempfile.mkdtemp(prefix="wshd-test-")
    directory = f"{base}/container"
    os.mkdir(directory)
    os.mkdir(f"{base}/bound")
    write(f"{base}/bound/a file", "bound\n")
    write(f"{base}/single", "single\n")
    launch = None
    try:
        make_container(
            directory,
            extra=f"{base}/bound /data/in none bind,ro,x-warden.create=dir 0 0\n{base}/single /single none bind,x-warden.create=file 0 0\n",
        )
        launch = Launch(wshd, directory)
        check(launch.status == 0 and launch.reports[-1] == "ready", "the container starts", launch.reports)
        client = Client(directory)
        pid = struct.unpack("3i", client.socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]
        check(pid == launch.pid, "the socket names init", (pid, launch.pid))
        test_jobs(client)
        test_traced(client, directory, launch.pid)
        test_root(client)
        test_terminal(client, directory)
        test_tree(client)
        client = test_hand_over(client, directory)
        test_malformed(client)
        test_inside(directory, launch.pid)
        check(struct.unpack_from("<II", client.welcome[2])[1] == 0, "an init whose container has bind mounts cannot prepare", client.welcome)
        client = test_lost_hand_over(client, directory)
        test_misbehaving(client, directory, launch.pid)
        client = test_leaving(client, directory, launch.pid)
        test_stopped_tree(client)
        test_process_alone(client, directory)
        test_fought_tree(client, directory)
        test_many(client)
        client = test_thousands(client, directory)
        client.spawn(9, ["sleep", "1000"])
        os.kill(launch.pid, signal.SIGKILL)
        check(await_true(lambda: not is_alive(launch.pid)), "a killed init is gone")
        with open(f"{directory}/stderr", encoding="utf8") as file:
            said = file.read()
        check(said == "", "nothing was said on standard error", said[:2000])
        launch = None
        test_network_and_hooks(wshd, base)
        test_launchers_memory(wshd, base)
        test_deep_tree(wshd, base)
        test_homes(wshd, base)
        test_prepared(wshd, base)
        test_errors(wshd, base)
        test_descriptors_kept(wshd, base)
    finally:
        if launch is not None and launch.pid:
            os.kill(launch.pid, signal.SIGKILL)
        shutil.rmtree(base)
    print(f"1..{count}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(os.path.abspath(sys.argv[1])))
