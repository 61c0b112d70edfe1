"""The programs that are compared, and one repetition of a row with one of them."""

import contextlib
import json
import os
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
_LOAD = ("unary", "bulk", "stream", "paced")


@dataclass(frozen=True)
class Peer:
    name: str
    program: str
    kind: str = "rpc"
    serve: tuple[str, ...] = ("serve",)
    arguments: tuple[str, ...] = ()
    modes: tuple[str, ...] = (*_LOAD, "idle", "over_limit", "first")
    discovers: bool = False  # finds its server in the folder DYN_FILE_KV

    def runs(self, row: Row) -> bool:
        return row.kind == self.kind and (row.kind != "rpc" or row.mode in self.modes)


# Our own programs are all named stator; the others' names are what floors.toml calls them.
PEERS = (
    Peer("stator", "stator_bench_rpc", discovers=True),
    Peer("grpc", "bench_peer_grpc"),
    Peer("grpc_unbuffered", "bench_peer_grpc", serve=("serve", "--unbuffered"), modes=("stream",)),
    # Without streams of their own and limits, the others would measure nothing.
    Peer("raw", "bench_peer_raw", modes=(*_LOAD, "first")),
    Peer("stator", "stator_bench_local", kind="local"),
    Peer("tokio", "bench_peer_tokio", kind="local"),
    Peer("tokio_lto", "bench_peer_tokio_lto", kind="local"),
    Peer("stator", "stator_bench_discovery", kind="discovery", discovers=True),
)


@dataclass(frozen=True)
class Setup:
    seconds: float
    warmup: float
    ours: Path
    theirs: Path

    def path(self, peer: Peer) -> Path:
        return (self.ours if peer.name == "stator" else self.theirs) / peer.program


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


@contextlib.contextmanager
def discovery(peer: Peer):
    """The environment of both sides: a folder of their own if the peer has discovery."""
    with tempfile.TemporaryDirectory(prefix="bench-discovery-") as folder:
        yield {"DYN_DISCOVERY_BACKEND": "file", "DYN_FILE_KV": folder} if peer.discovers else {}


def run_rpc(peer: Peer, row: Row, setup: Setup) -> dict[str, dict[str, float]]:
    program = str(setup.path(peer))
    with discovery(peer) as environment:
        environment |= dict(row.settings)
        with Process([program, *peer.serve, *row.serve], environment) as server:
            first = (server.line(time.monotonic() + START_TIMEOUT) or "").split()
            if first[:1] != ["listening"]:
                raise server.failed("did not print 'listening <port>' first")
            port = first[1] if len(first) > 1 and first[1].isdecimal() else "0"
            options = row.client_options(setup.seconds, setup.warmup)
            with Process([program, "client", "--port", port, *options], environment) as client:
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


def free_port() -> int:
    """A port of 127.0.0.1 that nobody has, for a server that is told its port before it starts."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def run_cold_start(peer: Peer, row: Row, setup: Setup) -> dict[str, dict[str, float]]:
    """The median of several starts: from exec of the server until the waiting client is answered."""
    samples = [_cold_start(peer, row, setup) for _ in range(COLD_STARTS)]
    return {peer.name: {"cold_start_ms": statistics.median(samples)}}


def _cold_start(peer: Peer, row: Row, setup: Setup) -> float:
    program = str(setup.path(peer))
    port = "0" if peer.discovers else str(free_port())
    deadline = time.monotonic() + CLIENT_SLACK
    with discovery(peer) as environment:
        options = row.client_options(setup.seconds, setup.warmup)
        with Process([program, "client", "--port", port, *options], environment) as client:
            line = client.line(deadline)
            if line != "waiting":
                raise client.failed(f"printed '{line}' where 'waiting' was due")
            with Process([program, *peer.serve, "--port", port], environment) as server:
                result = parse_result(client.line(deadline), client)
                client.finish(deadline)
                if not isinstance(result.get("answered_ns"), int):
                    raise client.failed("printed a line without 'answered_ns'")
                return (result["answered_ns"] - server.started_ns) / 1e6


def run_local(peer: Peer, repetitions: int, setup: Setup) -> dict[str, dict[str, float]]:
    """One sample per operation; a peer that measures several runtimes gives one result for each."""
    results: dict[str, dict[str, float]] = {}
    deadline = time.monotonic() + PROGRAM_TIMEOUT
    with Process([str(setup.path(peer)), "--repetitions", str(repetitions)]) as process:
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
        with Process([str(setup.path(peer))], environment) as process:
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
    if row.mode == "first":
        return run_cold_start(peer, row, setup)
    return run_rpc(peer, row, setup)
