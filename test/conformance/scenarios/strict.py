"""The strict reader against the daemon. One scenario per process, as the Ruby ones; the same JSON lines."""
import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "clients"))
from strict_client import Malformed, ServerError, StrictClient, field, only, parse  # noqa: E402

CHECKS = 0
NO_LIMIT = 2**63 - 4096


def emit(**line):
    print(json.dumps(line), flush=True)


def check(text, expected, got):
    global CHECKS
    CHECKS += 1
    if expected == got:
        emit(check=text, ok=True)
    else:
        emit(check=text, ok=False, expected=repr(expected)[:400], got=repr(got)[:400])


def connect():
    return StrictClient(os.environ.get("WARDEN_SOCKET", "/tmp/warden.sock"))


def destroy(handle):
    client = connect()
    try:
        client.call("stop", field(1, handle) + field(20, True))
        client.call("destroy", field(1, handle))
    except ServerError:
        pass


def lifecycle():
    client = connect()
    # field 1000: the properties of the next generation, a repeated message
    properties = field(1000, field(1, "owner") + field(2, "somebody"))
    created = client.call("create", properties + field(3, "strict") + properties)
    handle = only(created, 1, 2)
    try:
        check("create answers nothing but the handle", [(1, 2, b"strict")], created)
        listed = client.call("list", properties)
        check("list with properties", [b"strict"], [value for number, _, value in listed if number == 1])
        info = client.call("info", field(1, handle))
        check("state", b"active", only(info, 10, 2))
        check("addresses and path are there once", True,
              all(only(info, number, 2) for number in (30, 31, 32)))
        check("no list field", [], [one for one in info if one[0] in (20, 44)])
        if os.environ.get("WARDEN_BACKEND", "linux") == "linux":
            check("statistics are blocks", [2, 2, 2], [wire for number, wire, _ in info if number in (40, 41, 43)])
            for number, count in ((40, 28), (41, 3), (43, 4)):
                inner = parse(only(info, number, 2))
                check(f"field {number}: numbers only, each once", True,
                      all(wire == 0 for _, wire, _ in inner) and len({n for n, _, _ in inner}) == len(inner)
                      and all(1 <= n <= count for n, _, _ in inner))
        try:
            client.call("info", field(1, "nobody"))
            check("an unknown handle is an error", True, False)
        except ServerError as error:
            check("an unknown handle is an error", "unknown handle", str(error))
        check("the connection stays", [], client.call("ping"))
        ports = client.call("net_in", field(1, handle))
        check("net_in answers both ports and no more", [(1, 0), (2, 0)], [one[:2] for one in ports])
        check("which are equal", only(ports, 1, 0), only(ports, 2, 0))
        check("stop", [], client.call("stop", field(1, handle) + field(20, True)))
        check("destroy", [], client.call("destroy", field(1, handle)))
        check("an empty list has no field", [], client.call("list"))
    finally:
        destroy(handle)


def limits():
    if os.environ.get("WARDEN_BACKEND", "linux") == "insecure":
        emit(skip="the insecure backend has no limits")
        return
    client = connect()
    handle = only(client.call("create"), 1, 2)
    try:
        check("no memory limit", NO_LIMIT, only(client.call("limit_memory", field(1, handle)), 1, 0))
        answer = client.call("limit_memory", field(1, handle) + field(2, 128 << 20))
        check("a memory limit", [(1, 0, 128 << 20)], answer)
        check("shares", [(1, 0, 512)], client.call("limit_cpu", field(1, handle) + field(2, 512)))
        disk = client.call("limit_disk", field(1, handle) + field(31, 64 << 20))
        if os.environ.get("WARDEN_QUOTA") == "on":
            check("twelve fields", [10, 11, 12, 13, 20, 21, 22, 23, 30, 31, 32, 33], [one[0] for one in disk])
            check("byte_limit", 64 << 20, only(disk, 30, 0))
        else:
            check("no quota, no field", [], disk)
    finally:
        destroy(handle)


def jobs():
    client = connect()
    handle = only(client.call("create"), 1, 2)
    try:
        answer = client.call("run", field(1, handle) + field(2, "echo out; echo err >&2; exit 3"))
        check("the fields of a result, each once and in order", [(1, 0), (2, 2), (3, 2), (4, 2)], [one[:2] for one in answer])
        check("status and outputs", [3, b"out\n", b"err\n"], [one[2] for one in answer[:3]])
        empty = client.call("run", field(1, handle) + field(2, "true"))
        check("zero and empty are written", [(1, 0, 0), (2, 2, b""), (3, 2, b"")], empty[:3])
    finally:
        destroy(handle)


SCENARIOS = {"lifecycle": lifecycle, "limits": limits, "jobs": jobs}

if __name__ == "__main__":
    if sys.argv[1:] == ["--list"]:
        print("\n".join(SCENARIOS))
    else:
        try:
            SCENARIOS[sys.argv[1]]()
        except (Malformed, ServerError, OSError) as error:
            emit(error=f"{type(error).__name__}: {error}")
        emit(done=sys.argv[1], checks=CHECKS)
