"""Real Dynamo processes and ours beside each other, over a discovery folder of their own."""

import contextlib
import functools
import json
import os
import pathlib
import random
import re
import subprocess
import sys
import threading
import time

HERE = pathlib.Path(__file__).parent
BUILT = HERE.parents[1] / "build" / "release" / "bin"  # for who runs a test by hand; ctest says where
OUR_PEER = os.environ.get("STATOR_INTEROP_PEER", str(BUILT / "tests" / "stator_interop_peer"))
os.environ.setdefault("STATOR", str(BUILT / "stator"))
sys.path.insert(0, str(HERE.parent / "integration"))

from harness import PATIENCE, Cluster, Output, Program, TestCase  # noqa: E402, F401

COMPONENT = "interop.backend"
GENERATE = f"{COMPONENT}.generate"
CONVERSE = f"{COMPONENT}.converse"
TOUCHED_EVERY = 2.0  # seconds; a record not touched for 10 s is removed by whoever looks

# What an error of ours is called where Dynamo's errors are compared.
CLASS_OF = {
    "invalid_request": "InvalidRequest",
    "unauthenticated": "Unauthenticated",
    "permission_denied": "PermissionDenied",
    "not_found": "NotFound",
    "already_exists": "Conflict",
    "payload_too_large": "PayloadTooLarge",
    "overloaded": "CapacityExhausted",
    "unavailable": "Unavailable",
    "draining": "Unavailable",
    "cancelled": "Cancelled",
    "deadline_exceeded": "DeadlineExceeded",
    "disconnected": "Unavailable",
    "protocol": "Internal",
    "unimplemented": "NotImplemented",
    "internal": "Internal",
}


@functools.cache
def virtual_environment():
    """Of the real peers, installed by the fixture of these tests."""
    script = HERE / "peers" / "install.sh"
    folder = pathlib.Path(subprocess.check_output([script, "--where"], text=True).strip())
    if not (folder / "installed-runtime").exists():
        raise AssertionError(f"no Dynamo runtime in {folder}; tests/interop/peers/install.sh runtime installs it")
    return folder


def real_python():
    return str(virtual_environment() / "bin" / "python")


def error_class(error):
    """Dynamo's class of an error in a client's report; nothing if there is none."""
    if error is None:
        return None
    if "code" in error:
        return CLASS_OF[error["code"]]
    named = re.match(r"([A-Z][A-Za-z]+): ", error["text"])
    return named[1] if named and named[1] in CLASS_OF.values() else f"{error['type']}: {error['text']}"


parsed = functools.lru_cache(maxsize=20_000)(json.loads)


class Peer(Program):
    """A process that reports what it sees as lines of JSON, and may take commands on stdin."""

    def __init__(self, command, environment):
        self.arguments = command
        self.process = subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        self.stdout = Output(self.process.stdout)
        self.stderr = Output(self.process.stderr)
        self._from = 0

    def mark(self):
        """Events before this moment are not looked at any more."""
        self._from = len(self.stdout.lines)

    def events(self, kind, **fields):
        return matching(self.stdout.lines[self._from :], kind, fields)

    def event(self, kind, count=1, timeout=PATIENCE, **fields):
        """The count-th such event since the mark; an end of the same call before it is a failure."""
        begin = self._from

        def find(lines):
            found = matching(lines[begin:], kind, fields)
            if len(found) >= count:
                return found[count - 1]
            ended = matching(lines[begin:], "end", {"id": fields.get("id")})
            if ended:
                raise AssertionError(f"the call ended before {kind!r}: {ended[0]}")
            return None

        try:
            return self.stdout.wait_until(find, f"{count} x {kind} {fields}", timeout)
        except AssertionError as error:
            raise AssertionError(f"{error}\nand on stderr:\n{self.stderr_tail()}") from None

    def tell(self, command):
        self.process.stdin.write(json.dumps(command).encode() + b"\n")
        self.process.stdin.flush()

    def close_stdin(self):
        with contextlib.suppress(BrokenPipeError):  # what was told to a peer that is gone
            self.process.stdin.close()


def matching(lines, kind, fields):
    events = (parsed(line.text) for line in lines if line.text.startswith("{"))
    wanted = {"event": kind, **fields}.items()
    return [one for one in events if all(one.get(key) == value for key, value in wanted)]


class Record:
    """An endpoint record put into the discovery folder by hand, and kept alive until the end of its `with`."""

    def __init__(self, folder, content):
        self._folder = folder / "v1" / "instances"
        self.content = content
        key = "{namespace}/{component}/{endpoint}/{instance_id:x}".format(**content)
        self._path = self._folder / re.sub(r"[^A-Za-z0-9]", lambda found: f"%{ord(found[0]):02X}", key)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._keep_alive, daemon=True)

    def __enter__(self):
        new = self._folder / f".tmp_{random.getrandbits(64):016x}"
        new.write_text(json.dumps(self.content, separators=(",", ":")))
        os.link(new, self._path)
        new.unlink()
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        self._thread.join()
        self._path.unlink(missing_ok=True)

    def _keep_alive(self):
        while not self._over.wait(TOUCHED_EVERY):
            os.utime(self._path)


def records(folder, endpoint):
    """Of the endpoint `ns.component.endpoint`, as they are in the discovery folder."""
    wanted = endpoint.rsplit(".", 2)
    found = []
    for path in (folder / "v1" / "instances").glob("[!.]*"):
        record = json.loads(path.read_text())
        if [record["namespace"], record["component"], record["endpoint"]] == wanted:
            found.append(record)
    return found


def copied_record(record, endpoint, address):
    """The same worker under another endpoint name, at another `host:port/path`. Ours is then found by that only."""
    copy = {key: value for key, value in record.items() if key != "x_stator"}
    namespace, component, name = endpoint.rsplit(".", 2)
    return copy | {
        "namespace": namespace,
        "component": component,
        "endpoint": name,
        "instance_id": random.getrandbits(63) | 1,
        "transport": {"tcp": address},
    }


class Peers(Cluster):
    """A discovery folder on loopback, and the peers that use it."""

    def __init__(self, **settings):
        loopback = {"DYN_TCP_RPC_HOST": "127.0.0.1", "DYN_TCP_RESPONSE_STREAM_HOST": "127.0.0.1"}
        super().__init__(**loopback, DYN_LOG="warn", **settings)

    def __exit__(self, *error):
        for peer in self._programs:
            if isinstance(peer, Peer):
                peer.kill()
                peer.close_stdin()
        super().__exit__(*error)

    def start_peer(self, command, **settings):
        peer = Peer(command, self.environment | settings)
        self._programs.append(peer)
        return peer


class Pair(Peers):
    """A worker and a client, each started when it is first needed.

    Their kinds: real, stator, and (the client only) mux, which is ours on our own plane. Without a kind of worker the
    test brings its own.
    """

    def __init__(self, worker, client, codec, worker_settings=None, client_settings=None):
        super().__init__()
        self.kinds = (worker, client)
        self.codec = codec
        self.worker_settings = worker_settings or {}
        self.client_settings = client_settings or {}
        self._worker = self._client = None
        self._calls = 0

    def _start(self, command, settings):
        peer = self.start_peer(command, **settings)
        peer.event("ready")
        return peer

    def start_worker(self):
        real = [real_python(), "-B", str(HERE / "peers" / "worker.py")]
        command = real if self.kinds[0] == "real" else [OUR_PEER, "worker"]
        return self._start([*command, "--codec", self.codec], self.worker_settings)

    def start_client(self):
        real = [real_python(), "-B", str(HERE / "peers" / "client.py")]
        plane = "mux" if self.kinds[1] == "mux" else "dynamo"
        ours = [OUR_PEER, "client", "--codec", self.codec, "--plane", plane]
        return self._start(real if self.kinds[1] == "real" else ours, self.client_settings)

    @property
    def worker(self):
        if self._worker is None and self.kinds[0] is not None:
            self._worker = self.start_worker()
        return self._worker

    @property
    def client(self):
        self._client = self._client or self.start_client()
        return self._client

    def fresh(self):
        """Another pair of the same kinds, for a case that ends its processes."""
        return type(self)(*self.kinds, self.codec)

    def begin(self, request, path=GENERATE, **options):
        """Starts a call; its id. What the peers say from now on is looked at."""
        for peer in (self.worker, self.client):
            if peer is not None:
                peer.mark()
        self._calls += 1
        name = f"call-{self._calls}"
        self.client.tell({"id": name, "path": path, "request": request, **options})
        return name

    def end(self, name, timeout=PATIENCE):
        return self.client.event("end", id=name, timeout=timeout)

    def exchange(self, request, path=GENERATE, **options):
        """A call of the client, to its end."""
        return self.end(self.begin(request, path, **options), options.get("timeout", PATIENCE) + 5)

    def record(self, endpoint=GENERATE):
        self.worker  # a real one says that it is ready a moment before it has registered
        end = time.monotonic() + PATIENCE
        while not (found := records(self.kv, endpoint)):
            if time.monotonic() > end:
                raise AssertionError(f"nobody has registered {endpoint} within {PATIENCE} s")
            time.sleep(0.01)
        (record,) = found
        return record


def address_of(record):
    """(host, port, path) of its request plane."""
    place, _, path = record["transport"]["tcp"].partition("/")
    host, _, port = place.rpartition(":")
    return host, int(port), path
