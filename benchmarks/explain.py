#!/usr/bin/env python3
"""Says where a row's time goes: system calls, bytes and TCP segments per operation, by peer.

Needs root and Linux' perf. It runs in a network namespace of its own, so that what the loopback device counts is
what the two processes sent; counting system calls by tracepoints slows them down by a few percent only.
"""

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

from harness import counters
from harness.peers import (
    CLIENT_SLACK,
    LOADS,
    PEERS,
    Peer,
    Setup,
    discovery,
    parse_result,
    start_client,
    start_server,
)
from harness.process import PeerFailed
from harness.rows import ROWS, Row, select

ROOT = Path(__file__).resolve().parent.parent


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("row", nargs="*", default=["unary1", "unary64", "stream64", "paced512"])
    parser.add_argument("--peers", default="stator,grpc,raw")
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--bin", type=Path, default=ROOT / "build/release/bin")
    chosen = parser.parse_args(arguments)
    try:
        chosen.rows = [row for row in select(",".join(chosen.row)) if row.mode in LOADS]
    except ValueError as problem:
        parser.error(str(problem))
    if not chosen.rows:
        parser.error(f"only rows of a load: {', '.join(n for n, r in ROWS.items() if r.mode in LOADS)}")
    chosen.peers = set(chosen.peers.split(","))
    return chosen


def measure(peer: Peer, row: Row, setup: Setup) -> counters.PerOperation:
    with discovery(peer) as environment:
        environment |= dict(row.settings)
        server, port = start_server(peer, row, setup, environment)
        with server:
            with start_client(peer, row, setup, environment, port, setup.seconds) as client:
                deadline = time.monotonic() + row.warmup(setup.warmup) + setup.seconds + CLIENT_SLACK
                if client.line(deadline) != "measuring":
                    raise client.failed("did not say when its window opens")
                with counters.SystemCalls({"client": client.pid, "server": server.pid}) as calls:
                    sent = counters.Loopback.now()
                    if client.line(deadline) != "measured":
                        raise client.failed("did not say when its window closes")
                    sent = counters.Loopback.now() - sent
                result = parse_result(client.line(deadline), client)
                client.finish(deadline)
    operations = result["items" if row.counts_items else "requests"]
    return counters.PerOperation.of(operations, calls.counts, sent)


def in_namespace() -> bool:
    """Whether this process has a network namespace of its own with a loopback device that is up."""
    if os.environ.get("STATOR_EXPLAIN_ALONE") != "1":
        return False
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    return True


def main(arguments: list[str]) -> int:
    chosen = parse(arguments)
    if not in_namespace():
        os.environ["STATOR_EXPLAIN_ALONE"] = "1"
        os.execvp("unshare", ["unshare", "--net", sys.executable, "-B", __file__, *arguments])
    setup = Setup(chosen.seconds, 0.4, chosen.bin.resolve(), chosen.bin.resolve())
    status = 0
    for row in chosen.rows:
        print(f"\n{row.name}: {row.title}")
        for peer in PEERS:
            if peer.name not in chosen.peers or not peer.runs(row):
                continue
            try:
                print(f"  {peer.name}: {measure(peer, row, setup)}", flush=True)
            except PeerFailed as problem:
                print(f"  {peer.name}: {problem}", flush=True)
                status = 1
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
