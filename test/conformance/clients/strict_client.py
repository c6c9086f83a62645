"""A client in the manner of a Go program of the next generation: it believes nothing.

The header line is cut by exactly two bytes, which must be CR and LF; the length has no sign, blank or leading zero; the trailer
is checked; the type of an answer must be the expected one; fields must come in ascending order with the wire type of the
protocol. Requests carry fields this generation of the daemon does not know. No protobuf library: the format is read by hand.
"""
import socket
import sys

TYPES = {"error": 1, "create": 11, "stop": 12, "destroy": 13, "info": 14, "run": 23, "net_in": 31, "copy_in": 41, "copy_out": 42,
         "limit_memory": 51, "limit_disk": 52, "limit_cpu": 54, "list": 92, "ping": 91, "echo": 93}


def varint(number):
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def field(number, value):
    if isinstance(value, bool):
        value = int(value)
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    if isinstance(value, str):
        value = value.encode()
    return varint(number << 3 | 2) + varint(len(value)) + value


class Malformed(Exception):
    pass


def read_varint(data, at):
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            raise Malformed("truncated varint")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            if byte == 0 and shift > 0:
                raise Malformed("a varint longer than needed")
            return value, at
    raise Malformed("endless varint")


def parse(data):
    """List of (field number, wire type, value); the numbers must not go down."""
    fields, at, last = [], 0, 0
    while at < len(data):
        tag, at = read_varint(data, at)
        number, wire = tag >> 3, tag & 7
        if number < last:
            raise Malformed(f"field {number} after field {last}")
        last = number
        if wire == 0:
            value, at = read_varint(data, at)
        elif wire == 2:
            length, at = read_varint(data, at)
            if at + length > len(data):
                raise Malformed("truncated block")
            value, at = data[at:at + length], at + length
        else:
            raise Malformed(f"wire type {wire}")
        fields.append((number, wire, value))
    return fields


def only(fields, number, wire):
    """The value of a field that must be there exactly once."""
    found = [value for one, kind, value in fields if one == number and kind == wire]
    if len(found) != 1 or any(one == number and kind != wire for one, kind, _ in fields):
        raise Malformed(f"field {number}: expected once with wire type {wire}, found {fields}")
    return found[0]


class ServerError(Exception):
    pass


class StrictClient:
    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(60)
        self.socket.connect(path)
        self.stream = self.socket.makefile("rb")

    def call(self, name, payload=b""):
        body = field(1, TYPES[name]) + field(2, payload)
        self.socket.sendall(b"%d\r\n" % len(body) + body + b"\r\n")
        kind, answer = self.receive()
        if kind == TYPES["error"]:
            raise ServerError(dict((n, v) for n, _, v in answer).get(2, b"").decode())
        if kind != TYPES[name]:
            raise Malformed(f"an answer of type {kind} to a request of type {TYPES[name]}")
        return answer

    def receive(self):
        line = self.stream.readline()
        digits, end = line[:-2], line[-2:]
        if end != b"\r\n" or not digits.isdigit() or str(int(digits)).encode() != digits:
            raise Malformed(f"header line {line!r}")
        body = self.stream.read(int(digits))
        if len(body) != int(digits) or self.stream.read(2) != b"\r\n":
            raise Malformed("body or trailer")
        envelope = parse(body)
        if [one[:2] for one in envelope] != [(1, 0), (2, 2)]:
            raise Malformed(f"envelope {envelope}")
        return envelope[0][2], parse(envelope[1][2])


if __name__ == "__main__":
    sys.exit("this is a library; see ../scenarios/strict.py")
