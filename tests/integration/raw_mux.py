"""The multiplexed plane by hand, for peers that do not behave (docs/protocol/mux.md)."""

import socket
import struct
import uuid

HELLO, OPEN, ACCEPT, DATA, END, ERROR, STOP, KILL, RESET, CREDIT, PING = range(1, 12)
GOODBYE = 14
END_FLAG, MORE_FLAG, MESSAGE_FLAG = 1, 2, 4
JSON_CODEC = 2
SERVER_STREAMING = 1


def preface():
    return b"\xff\xffSTATOR" + struct.pack("<HHI", 1, 1, 0)


def frame(kind, stream=0, payload=b"", flags=0):
    return struct.pack("<IBBHI", len(payload), kind, flags, 0, stream) + payload


def record(tag, value):
    return struct.pack("<HH", tag, len(value)) + value


def hello():
    return frame(
        HELLO,
        payload=struct.pack("<HHQ", 1, 0, 7)
        + record(1, struct.pack("<I", 1 << 20))
        + record(4, struct.pack("<Q", 1 << 34)),
    )


def open_call(path, message, stream=1, credit=1 << 31):
    """A server streaming call with its request; the response may take `credit` bytes."""
    name = path.replace(".", "/").encode()
    head = struct.pack("<BBHHQQ", SERVER_STREAMING, JSON_CODEC, 0, len(name), 0, 0)
    head += uuid.uuid4().bytes + struct.pack("<IHH", credit - 1, 0, 0) + name
    head = struct.pack("<H", len(head) + 2) + head
    return frame(OPEN, stream, head + message.encode(), MESSAGE_FLAG | END_FLAG)


def session(path, message):
    """All that a caller sends before it asks its handler to stop."""
    return preface() + hello() + open_call(path, message) + frame(STOP, 1, b"\x01")


def reset(connection):
    """Ends a connection by RST."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def read_all(connection, timeout=10):
    """What comes until the peer closes."""
    connection.settimeout(timeout)
    received = b""
    try:
        while part := connection.recv(1 << 16):
            received += part
    except ConnectionResetError:
        pass
    return received
