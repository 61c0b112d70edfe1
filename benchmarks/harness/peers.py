"""The programs that are compared, and one repetition of a row with one of them."""

import contextlib
import json
import os
import signal
import socket
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from .process import PeerFailed, Process, Resources, cpu_seconds
from .rows import Row

START_TIMEOUT = 10.0
# A client may take this much longer than its warm-up and window, to connect and to finish calls.
CLIENT_SLACK = 30.0
PROGRAM_TIMEOUT = 300.0
# Opening very many streams may take this much longer.
OPENING_SLACK = 60.0
COLD_STARTS = 5
# A worker is killed so often, and this many measured windows apart: the original's callers run into a
# dead worker for seconds.
KILLS = 3
WINDOWS_PER_KILL = 4.5
LOADS = ("unary", "bulk", "stream", "paced")


@dataclass(frozen=True)
class Peer:
    name: str
    program: str
    kind: str = "rpc"
    serve: tuple[str, ...] = ("serve",)
    caller: str = ""  # the client's program, if it is another one than the server's
    call: tuple[str, ...] = ()  # what the client is told besides
    environment: tuple[tuple[str, str], ...] = ()  # of both sides
    modes: tuple[str, ...] = (*LOADS, "idle", "over_limit", "first")
    discovers: bool = False  # finds its server in the folder DYN_FILE_KV
    nats: bool = False  # needs a nats-server, whose address is NATS_SERVER
    polls: bool = True  # has a part in the rows with settings, which only ours know

    def runs(self, row: Row) -> bool:
        if row.kind != self.kind or (row.settings and not self.polls):
            return False
        return row.kind != "rpc" or row.mode in self.modes

    @property
    def client(self) -> str:
        return self.caller or self.program


_OURS = "stator_bench_rpc"
_ORIGINAL = "bench_peer_dynamo"
_BY_DYNAMO = ("--plane", "dynamo")
_BY_NATS = (("DYN_REQUEST_PLANE", "nats"),)
_SHARED = ("unary", "stream", "paced", "failover")  # what the two can ask of each other

# Our own programs are named stator; the others' names are what floors.toml calls them.
PEERS = (
    Peer(
        "stator",
        _OURS,
        discovers=True,
        modes=(*LOADS, "idle", "over_limit", "first", "failover"),
    ),
    Peer("grpc", "bench_peer_grpc"),
    Peer("grpc_unbuffered", "bench_peer_grpc", serve=("serve", "--unbuffered"), modes=("stream",)),
    # The original with its default plane, and with the other one; it cannot hold as many streams as
    # the idle row asks for.
    Peer(
        "dynamo", _ORIGINAL, discovers=True, modes=(*LOADS, "first", "failover"), polls=False
    ),
    Peer(
        "dynamo_quic",
        _ORIGINAL,
        discovers=True,
        environment=(("DYN_RESPONSE_PLANE", "quic"),),
        modes=LOADS,
        polls=False,
    ),
    # Ours on both ends of the original's plane, and on one: {client}_to_{server}.
    Peer(
        "stator_dynamo", _OURS, discovers=True, call=_BY_DYNAMO, modes=_SHARED, polls=False
    ),
    Peer(
        "stator_to_dynamo",
        _ORIGINAL,
        caller=_OURS,
        discovers=True,
        call=_BY_DYNAMO,
        modes=_SHARED,
        polls=False,
    ),
    Peer(
        "dynamo_to_stator", _OURS, caller=_ORIGINAL, discovers=True, modes=_SHARED, polls=False
    ),
    # Requests by NATS, answers by the connections of the original's plane.
    Peer(
        "dynamo_nats",
        _ORIGINAL,
        discovers=True,
        nats=True,
        environment=_BY_NATS,
        modes=("unary", "stream", "paced"),
        polls=False,
    ),
    Peer(
        "stator_nats",
        _OURS,
        discovers=True,
        nats=True,
        environment=_BY_NATS,
        call=_BY_DYNAMO,
        modes=("unary", "stream", "paced"),
        polls=False,
    ),
    # Without streams of their own and limits, the others would measure nothing.
    Peer("raw", "bench_peer_raw", modes=(*LOADS, "first")),
    Peer("stator", "stator_bench_local", kind="local"),
    Peer("tokio", "bench_peer_tokio", kind="local"),
    Peer("tokio_lto", "bench_peer_tokio_lto", kind="local"),
    Peer("dynamo", _ORIGINAL, kind="local", call=("local",)),
    Peer("stator", "stator_bench_discovery", kind="discovery", discovers=True),
    # Ours directly, and what it is made of or would be without it.
    Peer("stator", "stator_bench_events", kind="events", call=("--by", "stator"), discovers=True),
    Peer("zmq", "stator_bench_events", kind="events", call=("--by", "zmq")),
    Peer("nats", "stator_bench_events", kind="events", call=("--by", "nats"), nats=True),
)


@dataclass(frozen=True)
class Setup:
    seconds: float
    warmup: float
    ours: Path
    theirs: Path

    def path(self, program: str) -> Path:
        return (self.ours if program.startswith("stator_") else self.theirs) / program

    def missing(self, peer: Peer) -> list[str]:
        """The programs of the peer that are not built."""
        programs = dict.fromkeys((peer.program, peer.client))
        return [program for program in programs if not self.path(program).exists()]


def parse_result(text: str | None, process: Process) -> dict:
    try:
        result = json.loads(text or "")
    except json.JSONDecodeError:
        raise process.failed(f"printed '{text}' instead of a JSON line") from None
    if not isinstance(result, dict):
        raise process.failed("printed JSON that is not an object")
    return result


def numbers(result: dict) -> dict[str, float]:
    """The numeric members of a result line."""
    return {
        key: float(value)
        for key, value in result.items()
        if isinstance(value, (int, float)) and not isinstance(value, bool)
    }


def with_cpu(row: Row, result: dict, server_cpu: float) -> dict[str, float]:
    """The metrics of a client's result line, and CPU per operation of the server and of both."""
    metrics = numbers(result)
    operations = metrics.get("items" if row.counts_items else "requests", 0)
    client = metrics.get("cpu_client_us_per_op")
    if operations > 0 and client is not None:
        metrics["cpu_server_us_per_op"] = server_cpu * 1e6 / operations
        metrics["cpu_us_per_op"] = metrics["cpu_server_us_per_op"] + client
    return metrics


def with_resources(row: Row, sides: dict[str, tuple[Resources, Resources]]) -> dict[str, float]:
    """Of each side what it had at the first mark and, of idle streams only, at the second."""
    last = [after if row.mode == "idle" else before for before, after in sides.values()]
    metrics = {
        "descriptors": float(max(each.descriptors for each in last)),
        "threads_per_core": max(each.threads for each in last) / len(os.sched_getaffinity(0)),
    }
    if row.mode == "idle":
        for side, (before, after) in sides.items():
            growth = after.memory - before.memory
            metrics[f"{side}_bytes_per_stream"] = growth / row.concurrency
    return metrics


def free_port() -> int:
    """A port of 127.0.0.1 that nobody has, for a server that is told its port before it starts."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


@contextlib.contextmanager
def nats_server():
    """The address of a nats-server of this machine, which ends with the context."""
    address = f"127.0.0.1:{free_port()}"
    host, _, port = address.partition(":")
    with Process(["nats-server", "-a", host, "-p", port], {}):
        deadline = time.monotonic() + START_TIMEOUT
        while time.monotonic() < deadline:
            with socket.socket() as tried:
                if tried.connect_ex((host, int(port))) == 0:
                    break
            time.sleep(0.01)
        yield f"nats://{address}"


@contextlib.contextmanager
def surroundings(peer: Peer):
    """The environment of both sides: with a folder and a nats-server of their own if the peer has
    discovery and needs NATS."""
    environment = dict(peer.environment)
    with contextlib.ExitStack() as running:
        if peer.discovers:
            folder = tempfile.TemporaryDirectory(prefix="bench-discovery-")
            environment["DYN_DISCOVERY_BACKEND"] = "file"
            environment["DYN_FILE_KV"] = running.enter_context(folder)
        if peer.nats:
            environment["NATS_SERVER"] = running.enter_context(nats_server())
        yield environment


def start_server(
    peer: Peer, row: Row, setup: Setup, environment: dict[str, str]
) -> tuple[Process, str]:
    """A server that listens, and its port; "0" for one that is found by discovery."""
    server = Process([str(setup.path(peer.program)), *peer.serve, *row.serve], environment)
    try:
        first = (server.line(time.monotonic() + START_TIMEOUT) or "").split()
        if first[:1] != ["listening"]:
            raise server.failed("did not print 'listening <port>' first")
        return server, first[1] if len(first) > 1 and first[1].isdecimal() else "0"
    except BaseException:
        server.end()
        raise


def start_client(
    peer: Peer, row: Row, setup: Setup, environment: dict[str, str], port: str, seconds: float
) -> Process:
    options = row.client_options(seconds, setup.warmup)
    program = str(setup.path(peer.client))
    return Process([program, "client", "--port", port, *options, *peer.call], environment)


def run_rpc(peer: Peer, row: Row, setup: Setup) -> dict[str, dict[str, float]]:
    with surroundings(peer) as environment:
        environment |= dict(row.settings)
        server, port = start_server(peer, row, setup, environment)
        with server, start_client(peer, row, setup, environment, port, setup.seconds) as client:
            return {peer.name: _measure(row, setup, server, client)}


def _measure(row: Row, setup: Setup, server: Process, client: Process) -> dict[str, float]:
    slack = CLIENT_SLACK + (OPENING_SLACK if row.mode == "idle" else 0)
    deadline = time.monotonic() + row.warmup(setup.warmup) + setup.seconds + slack
    marks = []
    resources: dict[str, list[Resources]] = {"client": [], "server": []}
    for mark in ("measuring", "measured"):
        line = client.line(deadline)
        if line != mark:
            raise client.failed(f"printed '{line}' where '{mark}' was due")
        try:
            marks.append(cpu_seconds(server.pid))
            # A client may end right after the second mark, unless it holds its streams.
            if mark == "measuring" or row.mode == "idle":
                resources["server"].append(Resources.of(server.pid))
                resources["client"].append(Resources.of(client.pid))
        except OSError:
            ended = client if server.running() else server
            raise ended.failed("ended while the client was measuring") from None
    result = parse_result(client.line(deadline), client)
    client.finish(deadline)
    sides = {side: (samples[0], samples[-1]) for side, samples in resources.items()}
    return with_cpu(row, result, marks[1] - marks[0]) | with_resources(row, sides)


def run_failover(peer: Peer, row: Row, setup: Setup) -> dict[str, dict[str, float]]:
    """Two workers, of which one is killed several times; after each a new one takes its place."""
    period = setup.seconds * WINDOWS_PER_KILL
    with surroundings(peer) as environment, contextlib.ExitStack() as running:

        def worker() -> Process:
            return running.enter_context(start_server(peer, row, setup, environment)[0])

        workers = [worker(), worker()]
        seconds = KILLS * period
        client = running.enter_context(
            start_client(peer, row, setup, environment, "0", seconds)
        )
        deadline = time.monotonic() + row.warmup(setup.warmup) + seconds + CLIENT_SLACK
        if (line := client.line(deadline)) != "measuring":
            raise client.failed(f"printed '{line}' where 'measuring' was due")
        for _ in range(KILLS):
            time.sleep(period / 4)
            workers.pop(0).end(signal.SIGKILL)
            time.sleep(period / 4)
            workers.append(worker())
        if (line := client.line(deadline)) != "measured":
            raise client.failed(f"printed '{line}' where 'measured' was due")
        metrics = numbers(parse_result(client.line(deadline), client))
        client.finish(deadline)
    for kind in ("failed_unaccepted", "failed_accepted"):
        metrics[f"{kind}_per_kill"] = metrics.pop(kind, 0.0) / KILLS
    return {peer.name: metrics}


def run_cold_start(peer: Peer, row: Row, setup: Setup) -> dict[str, dict[str, float]]:
    """The median of several starts: from exec of the server until the waiting client is answered."""
    samples = [_cold_start(peer, row, setup) for _ in range(COLD_STARTS)]
    return {peer.name: {"cold_start_ms": statistics.median(samples)}}


def _cold_start(peer: Peer, row: Row, setup: Setup) -> float:
    port = "0" if peer.discovers else str(free_port())
    deadline = time.monotonic() + CLIENT_SLACK
    serve = [str(setup.path(peer.program)), *peer.serve, "--port", port]
    with surroundings(peer) as environment:
        with start_client(peer, row, setup, environment, port, setup.seconds) as client:
            line = client.line(deadline)
            if line != "waiting":
                raise client.failed(f"printed '{line}' where 'waiting' was due")
            with Process(serve, environment) as server:
                result = parse_result(client.line(deadline), client)
                client.finish(deadline)
                if not isinstance(result.get("answered_ns"), int):
                    raise client.failed("printed a line without 'answered_ns'")
                return (result["answered_ns"] - server.started_ns) / 1e6


def run_local(peer: Peer, repetitions: int, setup: Setup) -> dict[str, dict[str, float]]:
    """One sample per operation; a peer that measures several runtimes gives one result for each."""
    results: dict[str, dict[str, float]] = {}
    deadline = time.monotonic() + PROGRAM_TIMEOUT
    program = str(setup.path(peer.program))
    with Process([program, *peer.call, "--repetitions", str(repetitions)]) as process:
        while (line := process.line(deadline)) is not None:
            result = parse_result(line, process)
            if "operation" not in result or not isinstance(result.get("ns"), (int, float)):
                raise process.failed("printed a line without 'operation' and 'ns'")
            name = peer.name + ("_ct" if result.get("runtime") == "current_thread" else "")
            results.setdefault(name, {})[result["operation"] + "_ns"] = float(result["ns"])
        process.finish(deadline)
    if not results:
        raise PeerFailed(f"{peer.program} printed no result")
    return results


def run_discovery(peer: Peer, setup: Setup) -> dict[str, dict[str, float]]:
    deadline = time.monotonic() + PROGRAM_TIMEOUT
    with tempfile.TemporaryDirectory(prefix="bench-discovery-") as folder:
        environment = {"DYN_DISCOVERY_BACKEND": "file", "DYN_FILE_KV": folder}
        with Process([str(setup.path(peer.program))], environment) as process:
            result = parse_result(process.line(deadline), process)
            process.finish(deadline)
            return {peer.name: numbers(result)}


def run_events(peer: Peer, setup: Setup) -> dict[str, dict[str, float]]:
    deadline = time.monotonic() + setup.warmup + setup.seconds + CLIENT_SLACK
    options = ["--seconds", str(setup.seconds), "--warmup", str(setup.warmup)]
    program = [str(setup.path(peer.program)), *peer.call, *options]
    with surroundings(peer) as environment, Process(program, environment) as process:
        result = parse_result(process.line(deadline), process)
        process.finish(deadline)
        return {peer.name: numbers(result)}


def run_once(
    peer: Peer, row: Row, setup: Setup, inner_repetitions: int
) -> dict[str, dict[str, float]]:
    """One repetition: metrics by the name under which they are reported. Raises PeerFailed."""
    if row.kind == "local":
        return run_local(peer, inner_repetitions, setup)
    if row.kind == "discovery":
        return run_discovery(peer, setup)
    if row.kind == "events":
        return run_events(peer, setup)
    if row.mode == "first":
        return run_cold_start(peer, row, setup)
    if row.mode == "failover":
        return run_failover(peer, row, setup)
    return run_rpc(peer, row, setup)
