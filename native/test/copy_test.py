#!/usr/bin/env python3
"""Drives both roles of warden-copy on plain directories and speaks TAP.

usage: copy_test.py WARDEN_COPY

What the two make of a tree is compared with what rsync -r -p --links makes of it; then one role is played by a liar.
"""
import array
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
ROOT, ENTER, LEAVE, FILE, LINK, LARGE, DATA, HOLE, CLOSE, END, READY, DONE = range(1, 13)
CONTENTS, EMPTY = 1, 2
DIRECTORY, REGULAR, SYMLINK = 0o040755, 0o100644, 0o120777
TIMEOUT = 60
ENVIRONMENT = {"ASAN_OPTIONS": "detect_leaks=0"}  # looking for leaks takes ptrace(2), which these processes refuse

# All some 2800 combinations take minutes: COPY_TEST_SAMPLE=all. Otherwise another sample each day, told with its seed.
SAMPLE = {"all": 1 << 30}.get(os.environ.get("COPY_TEST_SAMPLE", ""), int(os.environ.get("COPY_TEST_SAMPLE", "120").replace("all", "0")))
SEED = os.environ.get("COPY_TEST_SEED", time.strftime("%Y-%m-%d"))

count = failures = 0


def check(passed, name, got=None):
    global count, failures
    count += 1
    print(f"{'' if passed else 'not '}ok {count} - {name}", flush=True)
    if not passed:
        failures += 1
        print(f"# got {got!r}", flush=True)


class Role:
    """One role as a process. `socket` is the other end of its socket."""

    def __init__(self, role, direction, *arguments, end=None, user=None):
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
        if True:
            if True:
                results = []
                for who in ("rsync", "warden"):
                    place = f"{work}/{who}"
                    shutil.rmtree(place, ignore_errors=True)
                    os.mkdir(place)
                    os.chdir(place)
                    make("to")
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
                    results.append((done, describe(place)))
                cases += 1
                if results[0] != results[1]:
                    (rsync_ok, rsync_tree), (ok, tree) = results
                    keys = [key for key in sorted(set(rsync_tree) | set(tree)) if rsync_tree.get(key) != tree.get(key)][:3]
                    different.append((name, suffix, source, f"rsync {rsync_ok}", f"warden {ok}", [(key, str(rsync_tree.get(key))[:60], str(tree.get(key))[:60]) for key in keys]))
    check(not different and cases >= min(SAMPLE, len(combinations)), f"{direction}, user {user or 'root'}: {cases} combinations end as rsync's", different[:8])
    print(f"# {len(different)} differ")


if __name__ == "__main__":
    os.umask(0o022)
    work = tempfile.mkdtemp(prefix="warden-copy-")
    os.chmod(work, 0o755)
    try:
        make_sources(f"{work}/sources")
        if RSYNC is None:
            print("# rsync is missing: nothing to compare with")
        else:
            for direction, user in (("in", None), ("out", None)):
                compare_with_rsync(work, direction, user)
    finally:
        os.chdir("/")
        shutil.rmtree(work, ignore_errors=True)
    print(f"1..{count}")
    sys.exit(failures > 0)
