"""Dynamo's TCP planes by hand, for peers that do not behave (docs/protocol/dynamo-tcp.md)."""

import contextlib
import json
import socket
import struct
import threading
import uuid

PATIENCE = 20


def message(header=b"", body=b""):
    return struct.pack(">QQQ", len(header), len(body), 0) + header + body


def word(text):
    return message(json.dumps(text).encode())


STOP, KILL, SENTINEL = word("stop"), word("kill"), word("sentinel")
PROLOGUE = message(b'{"error":null}')
FINAL = message(body=b'{"complete_final":true}')


def item(value):
    return message(body=json.dumps({"data": {"data": value}, "complete_final": False}).encode())


def handshake(subject, kind="response"):
    return message(json.dumps({"subject": subject, "stream_type": kind}).encode())


def control(home, subject, codec="json"):
    identity = str(uuid.uuid4())
    info = {"address": home, "subject": subject, "context": identity, "stream_type": "response"}
    return json.dumps(
        {
            "id": identity,
            "request_type": "single_in",
            "response_type": "many_out",
            "payload_codec": codec,
            "connection_info": {"transport": "tcp_server", "info": json.dumps(info)},
        }
    ).encode()


def frame(path, payload, headers=None):
    name, more = path.encode(), json.dumps(headers).encode() if headers else b""
    return b"".join(
        (struct.pack(">H", len(name)), name, struct.pack(">H", len(more)), more, struct.pack(">I", len(payload)), payload)
    )


def request(path, home, subject="s", value=None, headers=None):
    body = json.dumps(value if value is not None else {"items": 3}).encode()
    return frame(path, message(control(home, subject), body), headers)


def read_exactly(connection, size):
    """Fewer bytes at the end of the connection."""
    received = b""
    while len(received) < size and (part := connection.recv(size - len(received))):
        received += part
    return received


def read_ack(connection):
    """The text; None at the end of the connection."""
    head = read_exactly(connection, 4)
    return read_exactly(connection, struct.unpack(">I", head)[0]).decode() if len(head) == 4 else None


def read_message(connection):
    """Header and body; None at the end of the connection."""
    head = read_exactly(connection, 24)
    if len(head) < 24:
        return None
    sizes = struct.unpack(">QQQ", head)
    return read_exactly(connection, sizes[0]), read_exactly(connection, sizes[1])


def read_answer(home):
    """The bodies of an answer up to its sentinel; None if it ended without one."""
    bodies = []
    while (part := read_message(home)) is not None:
        if part[0] == b'"sentinel"':
            return bodies
        if part[1]:
            bodies.append(part[1])
    return None


class Home:
    """A port that is called home to."""

    def __init__(self, backlog=4096):
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=backlog)
        self.listener.settimeout(PATIENCE)
        self.address = f"127.0.0.1:{self.listener.getsockname()[1]}"

    def accept(self):
        home, _ = self.listener.accept()
        home.settimeout(PATIENCE)
        return home

    def close(self):
        self.listener.close()


class Worker:
    """A worker that does what a script says with each request: script(request, connection)."""

    def __init__(self, kv, endpoint, script, codec="json"):
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self._script = script
        identity = uuid.uuid4().int >> 68
        namespace, component, name = endpoint.split(".")
        address = f"127.0.0.1:{self.listener.getsockname()[1]}/{identity:x}/{namespace}/{component}/{name}"
        record = {
            "component": component,
            "endpoint": name,
            "namespace": namespace,
            "instance_id": identity,
            "transport": {"tcp": address},
            "type": "Endpoint",
            "request_plane_codec": codec,
        }
        key = f"{namespace}/{component}/{name}/{identity:x}"
        folder = kv / "v1" / "instances"
        folder.mkdir(parents=True, exist_ok=True)
        quoted = "".join(c if c.isalnum() else f"%{ord(c):02X}" for c in key)
        self._record = folder / quoted
        self._text = json.dumps(record, separators=(",", ":"))
        self.publish()
        threading.Thread(target=self._accept, daemon=True).start()

    def publish(self):
        """A record lives for ten seconds."""
        self._record.write_text(self._text)

    def close(self):
        self._record.unlink(missing_ok=True)
        self.listener.close()

    def _accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        # A client that has had enough resets.
        with connection, contextlib.suppress(OSError):
            while (taken := self._read_request(connection)) is not None:
                self._script(taken, connection)

    @staticmethod
    def _read_request(connection):
        """The control header's home: (address, subject)."""
        head = read_exactly(connection, 2)
        if len(head) < 2:
            return None
        read_exactly(connection, struct.unpack(">H", head)[0])
        read_exactly(connection, struct.unpack(">H", read_exactly(connection, 2))[0])
        payload = read_exactly(connection, struct.unpack(">I", read_exactly(connection, 4))[0])
        header = json.loads(payload[24 : 24 + struct.unpack(">Q", payload[:8])[0]])
        info = json.loads(header["connection_info"]["info"])
        host, port = info["address"].rsplit(":", 1)
        return (host, int(port)), info["subject"]


def accept_request(connection, text=""):
    connection.sendall(struct.pack(">I", len(text)) + text.encode())


def call_home(taken, say=b""):
    """Connected and introduced."""
    address, subject = taken
    home = socket.create_connection(address, timeout=PATIENCE)
    home.sendall(handshake(subject) + say)
    return home


