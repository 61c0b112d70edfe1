#!/usr/bin/env python3
"""Measures stator beside its peers in one run, and checks the floors; see README.md beside it."""

import argparse
import json
import signal
import subprocess
import sys
from pathlib import Path

from harness import floors, machine, report
from harness.peers import PEERS, Peer, Setup, run_once
from harness.process import PeerFailed
from harness.rows import DEFAULT_ROWS, DYNAMO_PEERS, DYNAMO_ROWS, ROWS, Row, select
from harness.stats import Measured

ROOT = Path(__file__).resolve().parent.parent
FLOORS = Path(__file__).resolve().parent / "floors.toml"
OUR_TARGETS = ("stator_bench_rpc", "stator_bench_local", "stator_bench_discovery", "stator_bench_events")


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("row", nargs="*", help=f"{', '.join(ROWS)}, or all")
    parser.add_argument("--rows", help=f"the same as a list (default: {','.join(DEFAULT_ROWS)})")
    parser.add_argument("--peers", help="only these, a list (default: all that are built)")
    parser.add_argument(
        "--dynamo",
        action="store_true",
        help=f"the comparison with the original: rows {','.join(DYNAMO_ROWS)}, peers "
        f"{','.join(DYNAMO_PEERS)}, 5 repetitions, unless told otherwise",
    )
    parser.add_argument("--repetitions", type=int, help="default: 3")
    parser.add_argument(
        "--seconds", type=float, default=2.0, help="the measured window of a repetition"
    )
    parser.add_argument("--warmup", type=float, default=0.4, help="seconds before the window")
    parser.add_argument("--quick", action="store_true", help="windows of 0.5 s after 0.2 s")
    parser.add_argument("--bin", type=Path, default=ROOT / "build/release/bin", help="our programs")
    parser.add_argument("--peers-bin", type=Path, help="the peers' programs (default: as --bin)")
    parser.add_argument("--build", action="store_true", help="build what is measured first")
    parser.add_argument("--check", action="store_true", help="exit 1 when a floor is missed")
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument(
        "--markdown", type=Path, help="write the report here instead of standard output"
    )
    chosen = parser.parse_args(arguments)
    try:
        names = [*chosen.row, *([chosen.rows] if chosen.rows else [])]
        default_rows = DYNAMO_ROWS if chosen.dynamo else DEFAULT_ROWS
        chosen.rows = select(",".join(names or default_rows))
    except ValueError as problem:
        parser.error(str(problem))
    known = {peer.name for peer in PEERS}
    if chosen.repetitions is None:
        chosen.repetitions = 5 if chosen.dynamo else 3
    if chosen.peers is None:
        chosen.peers = set(DYNAMO_PEERS) if chosen.dynamo else known
    else:
        chosen.peers = set(chosen.peers.split(","))
    if chosen.peers - known:
        parser.error(f"no peer '{min(chosen.peers - known)}'; there are {', '.join(sorted(known))}")
    if chosen.repetitions < (floors.LEAST_REPETITIONS if chosen.check else 1):
        parser.error(
            f"--repetitions must be at least 1, and {floors.LEAST_REPETITIONS} with --check"
        )
    if chosen.seconds <= 0 or chosen.warmup < 0:
        parser.error("--seconds must be above 0 and --warmup not below it")
    if chosen.quick:
        chosen.seconds, chosen.warmup = 0.5, 0.2
    chosen.bin = chosen.bin.resolve()
    chosen.peers_bin = (chosen.peers_bin or chosen.bin).resolve()
    return chosen


def build(folder: Path, original: bool):
    """Builds the peers, the `original` if asked for, and whichever of our programs the build in
    `folder` knows."""
    if not (folder / "CMakeCache.txt").exists():
        if folder != ROOT / "build/release":
            sys.exit(f"error: {folder} is not a configured build")
        subprocess.run(["cmake", "--preset", "release"], cwd=ROOT, check=True)
    targets = subprocess.run(
        ["cmake", "--build", str(folder), "--target", "help"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    known = {line.partition(":")[0].removeprefix("... ").strip() for line in targets.splitlines()}
    targets = ("bench_peers", *OUR_TARGETS, *(("bench_peer_dynamo",) if original else ()))
    wanted = [target for target in targets if target in known]
    subprocess.run(["cmake", "--build", str(folder), "--target", *wanted], check=True)


def measure(
    row: Row, peers: list[Peer], chosen: argparse.Namespace, setup: Setup
) -> dict[str, Measured]:
    """All repetitions of a row, the peers taking turns."""
    results: dict[str, Measured] = {}
    for repetition in range(1, chosen.repetitions + 1):
        for peer in peers:
            print(
                f"{row.name} {repetition}/{chosen.repetitions} {peer.name}",
                file=sys.stderr,
                flush=True,
            )
            try:
                for name, metrics in run_once(peer, row, setup, 3 if chosen.quick else 7).items():
                    results.setdefault(name, Measured()).repetitions.append(metrics)
            except PeerFailed as problem:
                print(f"  {problem}", file=sys.stderr)
                results.setdefault(peer.name, Measured()).failures.append(str(problem))
    return results


def measure_all(chosen: argparse.Namespace, setup: Setup) -> tuple[floors.Results, dict]:
    """The results by row, and by row what share of the CPU others used and what is absent."""
    results: floors.Results = {}
    absent = []
    others = {}
    for row in chosen.rows:
        peers = [peer for peer in PEERS if peer.runs(row) and peer.name in chosen.peers]
        built = [peer for peer in peers if not setup.missing(peer)]
        absent += [
            f"{peer.name} in {row.name}: no {' and no '.join(setup.missing(peer))}"
            for peer in peers
            if peer not in built
        ]
        watch = machine.Others()
        results[row.name] = measure(row, built, chosen, setup)
        others[row.name] = watch.share()
    return results, {"others_cpu_share": others, "absent": absent}


def main(arguments: list[str]) -> int:
    chosen = parse(arguments)
    # Leave through the context managers, which end the children.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if chosen.build:
        for folder in dict.fromkeys((chosen.bin.parent, chosen.peers_bin.parent)):
            build(folder, chosen.dynamo)
    limits = floors.load(FLOORS)
    setup = Setup(chosen.seconds, chosen.warmup, chosen.bin, chosen.peers_bin)
    results, circumstances = measure_all(chosen, setup)
    run = {
        "machine": machine.describe(),
        "repetitions": chosen.repetitions,
        "seconds": chosen.seconds,
        "warmup": chosen.warmup,
        **circumstances,
    }
    verdicts = floors.check(limits, results) if chosen.check else None
    text = report.markdown(run, results, verdicts)
    if chosen.json:
        chosen.json.write_text(json.dumps(report.as_json(run, results, verdicts), indent=1) + "\n")
    if chosen.markdown:
        chosen.markdown.write_text(text)
    else:
        print(text, end="")
    if verdicts is None:
        return 0
    if chosen.markdown:
        print(report.verdict_table(verdicts))
    held = floors.holds(verdicts)
    print("every floor holds" if held else "floors missed or not measured", file=sys.stderr)
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
