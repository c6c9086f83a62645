#!/usr/bin/env python3
"""Drives both roles of warden-copy on plain directories and speaks TAP.

usage: copy_test.py WARDEN_COPY

What the two make of a tree is compared with what rsync -r -p --links makes of it; then one role is played by a liar.
"""
import array
import ctypes
import os
import random
import shutil
import signal
import socket
import stat
import struct
import subprocess
import sys
import tempfile
import time

BINARY = os.path.abspath(sys.argv[1])
RSYNC = shutil.which("rsync")
ROOT, ENTER, LEAVE, FILE, LINK, LARGE, OPENED, CLOSE, END, READY, DONE = range(1, 12)
CONTENTS, EMPTY = 1, 2
DIRECTORY, REGULAR, SYMLINK = 0o040755, 0o100644, 0o120777
TIMEOUT = 60
ENVIRONMENT = {"ASAN_OPTIONS": "detect_leaks=0"}  # looking for leaks takes ptrace(2), which these processes refuse

# All some 2800 combinations take minutes: COPY_TEST_SAMPLE=all. Otherwise another sample each day, told with its seed.
SAMPLE = {"all": 1 << 30}.get(os.environ.get("COPY_TEST_SAMPLE", ""), int(os.environ.get("COPY_TEST_SAMPLE", "40").replace("all", "0")))
SEED = os.environ.get("COPY_TEST_SEED", time.strftime("%Y-%m-%d"))

count = failures = 0


def check(passed, name, got=None):
    global count, failures
    count += 1
    print(f"{'' if passed else 'not '}ok {count} - {name}", flush=True)
    if not passed:
        failures += 1
        print(f"# got {got!r}", flush=True)


def forbid(call):
    """This system call fails with EPERM for this process and what it starts."""
    code = [(0x20, 0, 0, 0), (0x15, 0, 1, call), (0x06, 0, 0, 0x00050001), (0x06, 0, 0, 0x7fff0000)]
    instructions = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *one) for one in code))
    program = struct.pack("HxxxxxxP", len(code), ctypes.addressof(instructions))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(38, 1, 0, 0, 0) != 0 or libc.prctl(22, 2, ctypes.c_char_p(program)) != 0:
        raise OSError(ctypes.get_errno(), "prctl")


class Role:
    """One role as a process. `socket` is the other end of its socket."""

    def __init__(self, role, direction, *arguments, end=None, user=None, forbidden_call=None):
        self.socket, theirs = socket.socketpair() if end is None else (None, end)
        self.result, result = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        number = theirs.fileno()

        def place():
            fds = {0: number} if role == "inside" else {3: result.fileno(), 4: number}
            copies = {to: os.dup2(fd, 100 + to) for to, fd in fds.items()}
            for to, fd in copies.items():
                os.dup2(fd, to)
            os.closerange(5, 200)
            if user is not None:
                os.setgroups([])
                os.setgid(user)
                os.setuid(user)
            if forbidden_call is not None:
                forbid(forbidden_call)

        self.process = subprocess.Popen([BINARY, role, direction, *arguments], preexec_fn=place, close_fds=False, env=ENVIRONMENT, stderr=subprocess.PIPE)
        theirs.close()
        result.close()

    def end(self):
        """(fields of the result, text of standard error)"""
        try:
            _, errors = self.process.communicate(timeout=TIMEOUT)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.communicate()
            return ["timeout"], b""
        self.result.settimeout(1)
        fields = self.result.recv(8192).split(b"\0")[:-1]
        self.result.close()
        if self.socket is not None:
            self.socket.close()
        return [os.fsdecode(one) for one in fields] or ["none"], errors


def copy(direction, source, target, owner="", forbidden=(), root="/", inside_user=None, outside_user=None):
    """Copies between two places of this host. Answers the result's fields."""
    ours, theirs = socket.socketpair()
    host, box = (source, target) if direction == "in" else (target, source)
    inside = Role("inside", direction, box, root, end=theirs, user=inside_user)
    outside = Role("outside", direction, host, owner, *forbidden, end=ours, user=outside_user)
    fields, errors = outside.end()
    _, more = inside.end()
    if errors or more:
        print("# " + (errors + more).decode(errors="replace").replace("\n", "\n# "))
        fields = ["crashed"] + fields
    return fields


def describe(path):
    """What a tree is: names, types, modes, contents."""
    tree = {}

    def look(at, name):
        try:
            facts = os.lstat(at)
        except FileNotFoundError:
            return
        kind = stat.S_IFMT(facts.st_mode)
        mode = stat.S_IMODE(facts.st_mode)
        if kind == stat.S_IFDIR:
            tree[name] = ("directory", mode)
            for entry in os.listdir(at):
                look(at + b"/" + entry, name + b"/" + entry)
        elif kind == stat.S_IFREG:
            with open(at, "rb") as file:
                tree[name] = ("file", mode, file.read())
        elif kind == stat.S_IFLNK:
            tree[name] = ("link", os.readlink(at))
        else:
            tree[name] = ("special", kind)

    look(os.fsencode(path), b"")
    return tree


def write(path, text="text", mode=0o644):
    with open(path, "w") as file:
        file.write(text)
    os.chmod(path, mode)


# --- the same as rsync ----------------------------------------------------------------------------------------------

def make_sources(at):
    os.makedirs(f"{at}/full/sub/deep")
    os.makedirs(f"{at}/empty")
    os.makedirs(f"{at}/onlypipe")
    os.mkfifo(f"{at}/onlypipe/pipe")
    write(f"{at}/file", "a file", 0o640)
    write(f"{at}/full/file", "inner", 0o600)
    write(f"{at}/full/sub/run", "#!/bin/sh\n", 0o755)
    write(f"{at}/full/sub/deep/big", "0123456789" * 50000, 0o444)
    write(f"{at}/full/sticky", "s", 0o1644)
    write(f"{at}/full/nothing", "", 0)
    os.chmod(f"{at}/full/sub/deep", 0o500)
    os.chmod(f"{at}/full/sub", 0o1777)
    os.mkfifo(f"{at}/full/pipe")
    os.link(f"{at}/full/file", f"{at}/full/hard")
    os.symlink("file", f"{at}/full/link")
    os.symlink("/etc/passwd", f"{at}/full/absolute")
    os.symlink("no/where", f"{at}/full/dangling")
    os.symlink("full", f"{at}/linkdir")
    os.symlink("file", f"{at}/linkfile")
    os.symlink("no/where", f"{at}/dangling")
    os.mkfifo(f"{at}/pipe")
    os.makedirs(os.fsencode(at) + b"/names")
    for name in (b"-rf", b"*", b"$(x)", b"a b ", b"new\nline", b"\x1b[31m", b"\xff\xfe", b"n" * 255, b"..x", b"...", "é".encode(), "e\u0301".encode()):
        with open(os.fsencode(at) + b"/names/" + name, "wb") as file:
            file.write(name)


SOURCES = ["file", "full", "full/", "full/.", "full/sub/..", "empty", "empty/", "onlypipe", "onlypipe/", "linkdir", "linkdir/", "linkfile", "linkfile/", "dangling",
           "dangling/", "pipe", "missing", "missing/", "file/", "names", "names/", "full//", "./full", "full/./sub", "full/sub/deep/big"]

# Nothing is to be had from these. rsync makes the destination directory all the same when the path ends with a slash; warden-copy leaves everything.
BROKEN = {"missing", "missing/", "file/", "linkfile/", "dangling/"}

# What stands at the destination before; `to` is its path.
PLACES = {
    "nothing": lambda to: None,
    "a directory": lambda to: os.mkdir(to),
    "a directory with another mode": lambda to: os.mkdir(to, 0o700),
    "a file": lambda to: write(to, "old"),
    "a link to a directory": lambda to: (os.mkdir(to + ".real"), os.symlink(to + ".real", to)),
    "a link to a file": lambda to: (write(to + ".real", "old"), os.symlink(to + ".real", to)),
    "a dangling link": lambda to: os.symlink(to + ".real", to),
    "files in the way": lambda to: (os.mkdir(to), [write(f"{to}/{name}", "old", 0o666) for name in ("file", "full", "empty", "linkdir", "sub", "names", "link")]),
    "links in the way": lambda to: (os.mkdir(to), os.mkdir(to + ".real"), [os.symlink(to + ".real", f"{to}/{name}") for name in ("file", "full", "sub", "linkdir")]),
    "dangling links in the way": lambda to: (os.mkdir(to), [os.symlink(to + ".gone", f"{to}/{name}") for name in ("file", "full", "sub", "linkfile")]),
    "empty directories in the way": lambda to: (os.mkdir(to), [os.mkdir(f"{to}/{name}", 0o711) for name in ("file", "full", "sub", "linkfile", "link", "dangling")]),
    "full directories in the way": lambda to: (os.mkdir(to), [os.makedirs(f"{to}/{name}/x") for name in ("file", "full", "sub", "linkfile", "link", "dangling")]),
    "an older copy": lambda to: (os.mkdir(to), [subprocess.check_call(["cp", "-a", "../sources/full", "../sources/file", to])], write(f"{to}/full/extra"), write(f"{to}/full/sub/run", "changed")),
    "hard links": lambda to: (os.mkdir(to), write(f"{to}/file", "old"), os.link(f"{to}/file", to + ".real")),
}
SUFFIXES = ["", "/", "/.", "//", "/new", "/new/", "/no/where", "/no/where/"]


def compare_with_rsync(work, direction, user):
    """Every source to every destination, once by rsync and once by warden-copy."""
    different = []
    cases = 0
    combinations = [(name, suffix, source) for name in PLACES for suffix in SUFFIXES for source in SOURCES]
    random.Random(SEED).shuffle(combinations)
    for name, suffix, source in combinations[:SAMPLE]:
        make = PLACES[name]
        results = []
        for who in ("rsync", "warden"):
            place = f"{work}/{who}"
            shutil.rmtree(place, ignore_errors=True)
            os.mkdir(place)
            os.chdir(place)
            make("to")
            before = describe(place)
            if user is not None:
                subprocess.check_call(["chown", "-hR", f"{user}:{user}", place])
            target = f"{place}/to{suffix}"
            origin = f"{work}/sources/{source}"
            if who == "rsync":
                arguments = ["rsync", "-r", "-p", "--links", "--ignore-times", origin, target]
                command = arguments if user is None else ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", *arguments]
                done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False).returncode == 0
            else:
                fields = copy(direction, origin, target, inside_user=user, outside_user=user)
                done = fields == ["ok"]
                if fields[0] not in ("ok", "error"):
                    different.append((name, suffix, source, fields))
            os.chdir(work)
            results.append((done, before if who == "rsync" and source in BROKEN else describe(place)))
        cases += 1
        if results[0] != results[1]:
            (rsync_ok, rsync_tree), (ok, tree) = results
            keys = [key for key in sorted(set(rsync_tree) | set(tree)) if rsync_tree.get(key) != tree.get(key)][:3]
            different.append((name, suffix, source, f"rsync {rsync_ok}", f"warden {ok}", [(key, str(rsync_tree.get(key))[:60], str(tree.get(key))[:60]) for key in keys]))
    check(not different and cases >= min(SAMPLE, len(combinations)), f"{direction}, user {user or 'root'}: {cases} combinations end as rsync's", different[:8])
    print(f"# {len(different)} differ")


# --- a liar at the other end ----------------------------------------------------------------------------------------

def message(kind, name=b"", payload=b"", mode=0, size=0, name_length=None, payload_length=None):
    lengths = (len(name) if name_length is None else name_length, len(payload) if payload_length is None else payload_length)
    return struct.pack("<HHIQII", kind, lengths[0], mode, size, lengths[1], 0) + name + payload


class Liar:
    """Plays the inside role to a real outside role that receives into, or sends from, `path`."""

    def __init__(self, path, *forbidden, direction="out"):
        self.role = Role("outside", direction, path, "", *forbidden)

    def say(self, *messages, fds=()):
        """Every message by itself, the last one with the descriptors."""
        try:
            for at, one in enumerate(messages):
                rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds and at == len(messages) - 1 else []
                self.role.socket.sendmsg([one], rights)
        except (BrokenPipeError, ConnectionResetError):
            pass

    def hear(self, kind):
        """Reads up to the first message of this kind."""
        self.role.socket.settimeout(TIMEOUT)
        while True:
            head = self.role.socket.recv(24, socket.MSG_WAITALL)
            if len(head) < 24:
                return None
            found, name, _, size, payload, _ = struct.unpack("<HHIQII", head)
            if name + payload:
                self.role.socket.recv(name + payload, socket.MSG_WAITALL)
            if found == kind:
                return size

    def end(self):
        try:
            self.role.socket.shutdown(socket.SHUT_WR)
        except OSError:
            pass
        return self.role.end()


DIR_ROOT = message(ROOT, b"evil", mode=DIRECTORY)
OVER = message(END)
LIES = {
    "a name with a slash": [DIR_ROOT, message(FILE, b"../out", b"x", REGULAR), OVER],
    "an absolute name": [DIR_ROOT, message(FILE, b"/tmp/warden-copy-evil", b"x", REGULAR), OVER],
    "the name ..": [DIR_ROOT, message(ENTER, b"..", mode=DIRECTORY), message(FILE, b"out", b"x", REGULAR), message(LEAVE), OVER],
    "the name .": [DIR_ROOT, message(ENTER, b".", mode=DIRECTORY), OVER],
    "an empty name": [DIR_ROOT, message(FILE, b"", b"x", REGULAR), OVER],
    "a name with NUL": [DIR_ROOT, message(FILE, b"a\0b", b"x", REGULAR), OVER],
    "a root with a slash": [message(ROOT, b"../evil", mode=DIRECTORY), OVER],
    "a root named ..": [message(ROOT, b"..", mode=DIRECTORY), OVER],
    "a device": [DIR_ROOT, message(FILE, b"null", b"", 0o020666), OVER],
    "a directory as file": [DIR_ROOT, message(FILE, b"d", b"", DIRECTORY), OVER],
    "too many ends": [DIR_ROOT, message(LEAVE), message(FILE, b"out", b"x", REGULAR), OVER],
    "no end": [DIR_ROOT, message(ENTER, b"d", mode=DIRECTORY), OVER],
    "a name longer than it is": [DIR_ROOT, message(FILE, b"x", b"", REGULAR, name_length=255)],
    "a name longer than can be": [DIR_ROOT, message(FILE, b"x" * 300, b"", REGULAR)],
    "a payload longer than can be": [DIR_ROOT, message(FILE, b"x", b"", REGULAR, payload_length=0xFFFFFFFF)],
    "a large file without its content": [DIR_ROOT, message(LARGE, b"x", mode=REGULAR, size=100000), OVER],
    "a size that cannot be": [DIR_ROOT, message(LARGE, b"x", mode=REGULAR, size=2**63), OVER],
    "an answer to no question": [DIR_ROOT, message(OPENED), OVER],
    "an end of no file": [DIR_ROOT, message(CLOSE), OVER],
    "a link with NUL": [DIR_ROOT, message(LINK, b"l", b"a\0b", SYMLINK), OVER],
    "a link without end": [DIR_ROOT, message(LINK, b"l", b"x" * 5000, SYMLINK), OVER],
    "an unknown message": [DIR_ROOT, message(99), OVER],
    "two roots": [DIR_ROOT, DIR_ROOT, OVER],
    "nothing but an end of file": [],
    "half a message": [DIR_ROOT[:7]],
    "a directory for a single file": [message(ROOT, b"evil", mode=REGULAR), message(ENTER, b"evil", mode=DIRECTORY), OVER],
    "two files for a single one": [message(ROOT, b"evil", mode=REGULAR), message(FILE, b"evil", b"x", REGULAR), message(FILE, b"evil", b"y", REGULAR), OVER],
}


def play_liar(work):
    for name, messages in LIES.items():
        target = f"{work}/liar/target"
        shutil.rmtree(f"{work}/liar", ignore_errors=True)
        os.makedirs(target)
        liar = Liar(target)
        liar.say(*messages)
        fields, errors = liar.end()
        outside = [entry for entry in os.listdir(f"{work}/liar") if entry != "target"]
        left = [path for path in describe(target) if b".warden-copy." in path]
        check(fields[0] == "error" and not errors and not outside and not left, f"a liar is refused and nothing is left: {name}", (fields, errors, outside, left))
    check(not os.path.exists("/tmp/warden-copy-evil"), "an absolute name led nowhere")


def play_link_and_directory(work):
    """A link that is sent first and then entered must not be followed."""
    os.makedirs(f"{work}/trap/target")
    os.makedirs(f"{work}/trap/outside")
    liar = Liar(f"{work}/trap/target")
    liar.say(DIR_ROOT, message(LINK, b"d", f"{work}/trap/outside".encode(), SYMLINK), message(ENTER, b"d", mode=DIRECTORY), message(FILE, b"file", b"x", REGULAR), message(LEAVE), OVER)
    fields, errors = liar.end()
    check(fields == ["ok"] and not os.listdir(f"{work}/trap/outside"), "a directory of a link's name replaces the link", (fields, errors))
    liar = Liar(f"{work}/trap/target")
    liar.say(DIR_ROOT, message(LINK, b"f", f"{work}/trap/outside/f".encode(), SYMLINK), message(FILE, b"f", b"x", 0o106755), OVER)
    fields, errors = liar.end()
    facts = os.lstat(f"{work}/trap/target/evil/f")
    check(fields == ["ok"] and not os.listdir(f"{work}/trap/outside") and stat.S_IMODE(facts.st_mode) == 0o755, "a file of a link's name replaces the link, without set-id bits", (fields, errors))


def play_noise(work):
    """Random bytes, and valid streams with one byte changed: it ends, in an orderly way, inside the target."""
    generator = random.Random(SEED)
    valid = DIR_ROOT + message(ENTER, b"d", mode=DIRECTORY) + message(FILE, b"f", b"content", REGULAR) + message(LINK, b"l", b"f", SYMLINK) + message(LEAVE) + OVER
    bad = []
    for round_number in range(int(os.environ.get("COPY_TEST_NOISE", "60"))):
        shutil.rmtree(f"{work}/noise", ignore_errors=True)
        os.makedirs(f"{work}/noise/target")
        liar = Liar(f"{work}/noise/target")
        stream = bytearray(valid)
        for _ in range(generator.randint(1, 3)):
            stream[generator.randrange(len(stream))] = generator.randrange(256)
        liar.say(bytes(stream))
        fields, errors = liar.end()
        if fields[0] not in ("ok", "error") or errors or os.listdir(f"{work}/noise") != ["target"]:
            bad.append((bytes(stream), fields, errors))
    check(not bad, f"changed streams do no harm (seed {SEED})", bad[:2])


def await_entry(path):
    deadline = time.monotonic() + TIMEOUT
    while not os.path.lexists(path) and time.monotonic() < deadline:
        time.sleep(0.01)


def descriptors(work):
    """What is no file's content is refused: pipes, sockets, devices, directories, switches of the kernel."""
    os.makedirs(f"{work}/fds")
    ends = os.pipe()
    pair = socket.socketpair()
    files = {
        "a pipe": ends[0],
        "a socket": pair[0].fileno(),
        "a device": os.open("/dev/zero", os.O_RDWR),
        "a directory": os.open(work, os.O_RDONLY),
        "a file of proc": os.open("/proc/self/status", os.O_RDONLY),
        "a switch of the kernel": os.open("/proc/self/oom_score_adj", os.O_RDWR),
    }
    for name, fd in files.items():
        liar = Liar(f"{work}/fds")
        liar.say(DIR_ROOT, message(LARGE, b"x", mode=REGULAR, size=100000), fds=[fd])
        fields, errors = liar.end()
        check(fields[:3] == ["error", "71", "host"] and not errors and not os.listdir(f"{work}/fds/evil"), f"as content of a file {name} is refused", (fields, errors))
    with open(f"{work}/large", "wb") as file:
        file.write(b"l" * 200000)
    for name, fd in files.items():
        liar = Liar(f"{work}/large", direction="in")
        liar.hear(ROOT)
        liar.say(message(READY, payload=struct.pack("<QQ", 1, 1)))
        liar.hear(LARGE)
        liar.say(message(OPENED), fds=[fd])
        fields, errors = liar.end()
        check(fields[:3] == ["error", "71", "host"] and not errors, f"as file to be written {name} is refused", (fields, errors))
    for fd in list(files.values()) + [ends[1]]:
        if fd != pair[0].fileno():
            os.close(fd)
    pair[0].close()
    pair[1].close()
    # more than one comes: nothing is leaked or mixed up, the last one counts
    kept = os.open(f"{work}/large", os.O_RDONLY)
    liar = Liar(f"{work}/fds")
    liar.say(DIR_ROOT, fds=[kept])
    liar.say(message(FILE, b"small", b"x", REGULAR), fds=[kept] * 20)
    await_entry(f"{work}/fds/evil/small")
    held = [one for one in os.listdir(f"/proc/{liar.role.process.pid}/fd") if os.readlink(f"/proc/{liar.role.process.pid}/fd/{one}") == f"{work}/large"]
    check(len(held) == 1, "of the descriptors that come with one message one is kept", held)
    liar.say(message(LARGE, b"large", mode=REGULAR, size=200000), fds=[kept])
    liar.say(OVER)
    fields, errors = liar.end()
    check(fields == ["ok"] and os.stat(f"{work}/fds/evil/large").st_size == 200000, "descriptors nobody asked for are closed", (fields, errors))
    # a file whose size is a lie, and one whose descriptor cannot be read
    liar = Liar(f"{work}/fds")
    liar.say(DIR_ROOT, message(LARGE, b"short", mode=REGULAR, size=2**62), fds=[kept])
    liar.say(OVER)
    fields, errors = liar.end()
    check(fields == ["ok"] and os.stat(f"{work}/fds/evil/short").st_size == 200000, "a file that is shorter than announced is as long as it is", (fields, errors))
    os.close(kept)
    write_only = os.open(f"{work}/large", os.O_WRONLY)
    liar = Liar(f"{work}/fds")
    liar.say(DIR_ROOT, message(LARGE, b"closed", mode=REGULAR, size=200000), fds=[write_only])
    liar.say(OVER)
    fields, errors = liar.end()
    os.close(write_only)
    check(fields[:2] == ["error", "9"] and not os.path.exists(f"{work}/fds/evil/closed"), "a file that cannot be read is a failure", (fields, errors))


# --- what a copy meets ----------------------------------------------------------------------------------------------

def ends_with_peer(work):
    os.makedirs(f"{work}/peer")
    liar = Liar(f"{work}/peer")
    liar.say(DIR_ROOT, message(ENTER, b"d", mode=DIRECTORY), message(FILE, b"x", b"x", REGULAR)[:-1])
    fields, _ = liar.end()
    check(fields[:2] == ["error", "104"] and not os.listdir(f"{work}/peer/evil/d"), "the end of the other side ends the copy, and no half file is left", fields)
    liar = Liar(f"{work}/peer")
    liar.say(DIR_ROOT, message(ENTER, b"e", mode=DIRECTORY), message(FILE, b"x", b"x", REGULAR)[:-1])
    deadline = time.time() + TIMEOUT
    while not os.path.exists(f"{work}/peer/evil/e") and time.time() < deadline:
        time.sleep(0.01)
    liar.role.process.send_signal(signal.SIGTERM)
    liar.role.process.wait(TIMEOUT)
    fields, _ = liar.end()
    check(fields == ["none"] and liar.role.process.returncode == 143 and not os.listdir(f"{work}/peer/evil/e"), "a signal ends the copy, and no half file is left", (fields, liar.role.process.returncode))
    with open(f"{work}/peer/large", "wb") as file:
        file.write(b"l" * 200000)
    liar = Liar(f"{work}/peer/large", direction="in")
    liar.hear(ROOT)
    liar.say(message(READY, payload=struct.pack("<QQ", 1, 1)))
    liar.hear(LARGE)
    fields, _ = liar.end()
    check(fields[:2] == ["error", "104"], "the end of a receiver that owes an answer ends the copy", fields)


def deep_and_wide(work):
    depth = 3000
    os.makedirs(f"{work}/deep")
    here = os.open(f"{work}/deep", os.O_RDONLY)
    for level in range(depth):
        name = f"{level % 10}" * 50
        os.mkdir(name, dir_fd=here)
        if level % 500 == 0:
            os.close(os.open("file", os.O_CREAT | os.O_WRONLY, 0o644, dir_fd=here))
        following = os.open(name, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = following
    os.close(here)
    fields = copy("out", f"{work}/deep/", f"{work}/deep-copy")
    check(fields == ["ok"], f"{depth} directories inside each other", fields)
    same = subprocess.run(["sh", "-c", 'cd "$0" && find . | cksum; cd "$1" && find . | cksum', f"{work}/deep", f"{work}/deep-copy"], capture_output=True, text=True, check=True).stdout.split("\n")
    check(same[0] == same[1] and same[0] != "", "the deep copy is complete", same)
    subprocess.check_call(["rm", "-rf", f"{work}/deep", f"{work}/deep-copy"])
    os.makedirs(f"{work}/wide")
    for number in range(5000):
        os.close(os.open(f"{work}/wide/{number:05}{'n' * 200}", os.O_CREAT | os.O_WRONLY, 0o600))
    fields = copy("in", f"{work}/wide", f"{work}/wide-copy/")
    check(fields == ["ok"] and sorted(os.listdir(f"{work}/wide-copy/wide")) == sorted(os.listdir(f"{work}/wide")), "5000 long names in one directory", fields)


def sparse(work):
    with open(f"{work}/sparse", "wb") as file:
        file.truncate(1 << 40)
        file.seek(1 << 30)
        file.write(b"in the middle")
    fields = copy("out", f"{work}/sparse", f"{work}/sparse-copy")
    facts = os.stat(f"{work}/sparse-copy")
    with open(f"{work}/sparse-copy", "rb") as file:
        file.seek(1 << 30)
        middle = file.read(13)
    check(fields == ["ok"] and facts.st_size == 1 << 40 and facts.st_blocks < 10000 and middle == b"in the middle", "a file of 1 TiB with one piece of data keeps its holes", (fields, facts))


def full_disk(work):
    os.makedirs(f"{work}/disk")
    subprocess.check_call(["mount", "-t", "tmpfs", "-o", "size=1m,nr_inodes=100", "none", f"{work}/disk"])
    try:
        write(f"{work}/disk/big", "old")
        with open(f"{work}/big", "wb") as file:
            file.write(b"x" * (3 << 20))
        fields = copy("out", f"{work}/big", f"{work}/disk/big")
        with open(f"{work}/disk/big") as file:
            check(fields[:3] == ["error", "28", "host"] and file.read() == "old" and os.listdir(f"{work}/disk") == ["big"], "a full disk is told, the old file stays, nothing else does", fields)
        fields = copy("in", f"{work}/big", f"{work}/disk/other")
        check(fields[:3] == ["error", "28", "container"] and os.listdir(f"{work}/disk") == ["big"], "a disk that is full inside is told", fields)
        os.makedirs(f"{work}/many")
        for number in range(300):
            write(f"{work}/many/{number}", "x")
        fields = copy("out", f"{work}/many/", f"{work}/disk/")
        check(fields[:2] == ["error", "28"], "no inode left is told", fields)
    finally:
        subprocess.check_call(["umount", f"{work}/disk"])


def special_and_forbidden(work):
    os.makedirs(f"{work}/special/depot/below")
    os.mkfifo(f"{work}/special/pipe")
    write(f"{work}/plain", "x")
    fields = copy("out", f"{work}/plain", f"{work}/special/pipe")
    check(fields[:2] == ["error", "17"] and stat.S_ISFIFO(os.lstat(f"{work}/special/pipe").st_mode), "a pipe at the destination is left alone", fields)
    os.symlink("depot/below", f"{work}/special/link")
    for target in ("depot/x", "depot/", "depot/below/x", "link/x", "link"):
        fields = copy("out", f"{work}/plain", f"{work}/special/{target}", forbidden=[f"{work}/special/depot"])
        check(fields[:2] == ["error", "1"], f"a forbidden directory is not written to: {target}", fields)
    check(os.listdir(f"{work}/special/depot") == ["below"] and not os.listdir(f"{work}/special/depot/below"), "nothing was written")
    # the destination is allowed, and what is copied has the name of the directory, at its top or further down
    os.makedirs(f"{work}/named/depot/below")
    for path in ("depot/evil", "depot/below/evil", "good"):
        write(f"{work}/named/{path}")
    write(f"{work}/named/depot/large", "x" * (1 << 20))
    os.makedirs(f"{work}/named/deep/depot")
    write(f"{work}/named/deep/depot/good")
    for source, target, forbidden in (("named/depot", "special", "depot"), ("named/depot", "special/", "depot"), ("named/", "special", "depot"), ("named/", "special", "depot/below"), ("named/depot/below", "special/depot/below/", "depot/below")):
        shutil.rmtree(f"{work}/special")
        os.makedirs(f"{work}/special/depot/below")
        fields = copy("out", f"{work}/{source}", f"{work}/special/{target[8:]}", forbidden=[f"{work}/special/{forbidden}"])
        found = sorted(os.listdir(f"{work}/special/{forbidden}"))
        check(fields[:2] == ["error", "1"] and fields[4] == "write into a directory of the daemon" and found == (["below"] if forbidden == "depot" else []), f"{source} brings nothing into {forbidden}", (fields, found))
        if source == "named/":
            check(os.path.exists(f"{work}/special/good") and os.path.exists(f"{work}/special/deep/depot/good"), "the rest is copied")
    # one that is not there yet: nothing is made in its place
    for target in ("new", "new/"):
        for source in ("named", "plain"):
            fields = copy("out", f"{work}/{source}", f"{work}/special/{target}", forbidden=[f"{work}/special/new"])
            check(fields[:2] == ["error", "1"] and not os.path.lexists(f"{work}/special/new"), f"{source} is not put into the place of a forbidden directory: {target}", fields)
    os.symlink("/nowhere", f"{work}/named/new")
    fields = copy("out", f"{work}/named/new", f"{work}/special", forbidden=[f"{work}/special/new"])
    check(fields[:2] == ["error", "1"] and not os.path.lexists(f"{work}/special/new"), "nor a link that leads elsewhere", fields)


def into_itself(work):
    os.makedirs(f"{work}/self/sub")
    write(f"{work}/self/file", "x")
    fields = copy("in", f"{work}/self", f"{work}/self/sub")
    check(fields[:2] == ["error", "40"], "a directory is not copied into itself without end", fields)
    fields = copy("in", f"{work}/self/", f"{work}/self")
    check(fields == ["ok"], "content that is there already stays", fields)


def confined(work):
    """With a root, no path and no link leads out of it."""
    os.makedirs(f"{work}/box/inner")
    write(f"{work}/outside", "secret")
    os.symlink(f"{work}", f"{work}/box/link")
    for source in ("/../outside", f"/link/outside", "/inner/../../outside", "/proc/self/root"):
        fields = copy("out", source, f"{work}/stolen", root=f"{work}/box")
        check(fields[0] == "error" and not os.path.exists(f"{work}/stolen"), f"{source} stays inside the root", fields)
    fields = copy("in", f"{work}/outside", "/../../inner/x", root=f"{work}/box")
    check(fields == ["ok"] and os.path.exists(f"{work}/box/inner/x"), "above the root is the root", fields)
    fields = copy("in", f"{work}/outside", "inner/y", root=f"{work}/box")
    check(fields == ["ok"] and os.path.exists(f"{work}/box/inner/y"), "a relative path begins at the root", fields)


def owners(work):
    write(f"{work}/owned", "x", 0o640)
    for owner, uid, gid in (("", 0, 0), ("daemon", 1, 0), ("daemon:", 1, 1), ("daemon:bin", 1, 2), (":bin", 0, 2), ("4000", 4000, 0), ("4000:5000", 4000, 5000), ("0", 0, 0), (":", 0, 0), ("4294967294", 4294967294, 0)):
        fields = copy("out", f"{work}/owned", f"{work}/owned-copy", owner=owner)
        facts = os.stat(f"{work}/owned-copy")
        check(fields == ["ok"] and (facts.st_uid, facts.st_gid) == (uid, gid), f"owner '{owner}'", (fields, facts))
    os.makedirs(f"{work}/owned-tree/inner")
    write(f"{work}/owned-tree/inner/file", "x")
    os.makedirs(f"{work}/owned-before")
    for source, target, is_made in (("owned-tree", "owned-1", True), ("owned-tree/", "owned-2", True), ("owned", "owned-3/", True), ("owned-tree/inner", "owned-before", False)):
        fields = copy("out", f"{work}/{source}", f"{work}/{target}", owner="4000:5000")
        found = {(facts.st_uid, facts.st_gid) for facts in (os.lstat(os.path.join(at, name)) for at, names, files in os.walk(f"{work}/{target}") for name in names + files)}
        check(fields == ["ok"] and found == {(4000, 5000)}, f"all of {source} in {target} is the owner's", (fields, found))
        facts = os.stat(f"{work}/{target}")
        check((facts.st_uid, facts.st_gid) == ((4000, 5000) if is_made else (0, 0)), f"the directory {target} is {'the owner' if is_made else 'root'}'s", facts)
    for owner in ("nobody-here", "-1", "4294967295", "99999999999999999999", "a:b:c", "root:no-group", " root", "root ", "0x10", "1e3", "4000:"):
        fields = copy("out", f"{work}/owned", f"{work}/owned-never", owner=owner)
        check(fields[0] == "error" and fields[4] == "find owner" and not os.path.exists(f"{work}/owned-never"), f"owner '{owner}' is refused before anything is copied", fields)


def names_of_failures(work):
    """The path of a failure is that of the thing itself, whether the destination names it or the directory it goes to."""
    os.makedirs(f"{work}/named/closed")
    write(f"{work}/named/file", "x")
    write(f"{work}/named/large", "x" * 300_000)
    os.symlink("file", f"{work}/named/link")
    os.makedirs(f"{work}/named/empty")
    os.makedirs(f"{work}/named/tree/a/b")
    write(f"{work}/named/tree/a/b/c", "x")
    closed = f"{work}/named/closed"
    os.chmod(closed, 0o755)
    for source in ("file", "large", "link", "empty"):
        for target, path in (("new", "new"), ("/new", "new"), ("", source), ("/", source)):
            fields = copy("in", f"{work}/named/{source}", f"{closed}/{target}" if target else closed, inside_user=12345)
            where = f"{closed}/{path}"
            check(fields[:1] == ["error"] and fields[1] == "13" and fields[5] == where, f"{source} into a closed directory as '{target}'", fields)
    # deep in a tree: what stands in the way of the file is a directory that is not empty
    for target in ("there", "there/"):
        os.makedirs(f"{work}/named/there/tree/a/b/c/full", exist_ok=True)
        fields = copy("in", f"{work}/named/tree", f"{work}/named/{target}")
        check(fields[:1] == ["error"] and fields[5] == f"{work}/named/there/tree/a/b/c", f"a file deep in a tree that goes to '{target}'", fields)
    # at the root of a place, and where the path is relative
    os.makedirs(f"{work}/named/root")
    for target in ("/new", "new", "//new"):
        fields = copy("in", f"{work}/named/file", target, root=f"{work}/named/root", inside_user=12345)
        check(fields[:1] == ["error"] and fields[5] == ("new" if target == "new" else "/new"), f"a file as {target}", fields)
    os.makedirs(f"{work}/named/root/tree/a/b/c/full")
    fields = copy("in", f"{work}/named/tree", "/", root=f"{work}/named/root")
    check(fields[:1] == ["error"] and fields[5] == "/tree/a/b/c", "a file deep in a tree that goes to the root", fields)


def keeps_no_rights(work):
    """The role of the host does nothing with rights that it cannot give up."""
    write(f"{work}/rights", "x")
    capset = {"x86_64": 126, "aarch64": 91}[os.uname().machine]
    ours, theirs = socket.socketpair()
    inside = Role("inside", "out", f"{work}/rights", "/", end=theirs)
    outside = Role("outside", "out", f"{work}/rights-copy", "", end=ours, forbidden_call=capset)
    fields, errors = outside.end()
    inside.end()
    check(fields[:3] == ["error", "1", "host"] and fields[4:] == ["confine", "capabilities"] and not os.path.exists(f"{work}/rights-copy") and not errors, "rights that cannot be given up end a copy before it begins", (fields, errors))


if __name__ == "__main__":
    os.umask(0o022)
    work = tempfile.mkdtemp(prefix="warden-copy-")
    os.chmod(work, 0o755)
    try:
        make_sources(f"{work}/sources")
        if RSYNC is None:
            print("# rsync is missing: nothing to compare with")
        else:
            for direction, user in (("in", None), ("out", None), ("in", 12345)):
                if user is not None:
                    # what cannot be read is no part of the comparison: rsync clears its way for it before it finds out
                    subprocess.check_call(["chown", "-hR", f"{user}:{user}", f"{work}/sources"])
                    os.chmod(f"{work}/sources/full/nothing", 0o400)
                compare_with_rsync(work, direction, user)
        for test in (play_liar, play_link_and_directory, play_noise, descriptors, ends_with_peer, deep_and_wide, sparse, full_disk, special_and_forbidden, into_itself, confined, owners, names_of_failures, keeps_no_rights):
            test(work)
    finally:
        os.chdir("/")
        shutil.rmtree(work, ignore_errors=True)
    print(f"1..{count}")
    sys.exit(failures > 0)
