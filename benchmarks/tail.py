#!/usr/bin/env python3
"""What a few handlers that block do to the others, beside tokio: medians of runs that take turns.

    tail.py [--bin build/release/bin] [--seconds 5] [--repetitions 3] [--check]

--check exits 1 when the p99 of those that do not block is above tokio's or above twice that of an ideal central queue
while others block their loop, or above twice that without a tail while others block threads of their own. Without the
tokio peer (no cargo) only the last two are checked.
"""

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PEERS = {"stator": ("stator_bench_tail", "--seconds"), "tokio": ("bench_peer_tokio", "--tail")}


def measure(program: Path, option: str, seconds: int) -> list[dict[str, object]]:
    done = subprocess.run([str(program), option, str(seconds)], check=True, capture_output=True, text=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def medians(folder: Path, seconds: int, repetitions: int) -> dict[tuple[str, str], dict[str, float]]:
    samples: dict[tuple[str, str], list[dict[str, object]]] = {}
    for _ in range(repetitions):
        for name, (program, option) in PEERS.items():
            if not (folder / program).exists():
                continue
            for line in measure(folder / program, option, seconds):
                samples.setdefault((name, str(line["case"])), []).append(line)
    keys = ("p50_us", "p99_us", "ideal_p99_us")
    return {
        row: {key: statistics.median(line[key] for line in lines) for key in keys if key in lines[0]}
        for row, lines in samples.items()
    }


def missed(rows: dict[tuple[str, str], dict[str, float]]) -> list[str]:
    held, offloaded = rows["stator", "held"], rows["stator", "offloaded"]
    limits = [
        (held["p99_us"], 2 * held["ideal_p99_us"], "held: twice the ideal queue's"),
        (offloaded["p99_us"], 2 * rows["stator", "no_tail"]["p99_us"], "offloaded: twice that without a tail"),
    ]
    if ("tokio", "held") in rows:
        limits.append((held["p99_us"], rows["tokio", "held"]["p99_us"], "held: tokio's"))
    return [f"{figure:.0f} us is above {limit:.0f} us ({what})" for figure, limit, what in limits if figure > limit]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", type=Path, default=ROOT / "build/release/bin")
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    rows = medians(options.bin, options.seconds, options.repetitions)
    print("| case | | p50, us | p99, us | p99 of an ideal queue |\n|---|---|---|---|---|")
    for (name, case), row in sorted(rows.items(), key=lambda item: (item[0][1], item[0][0])):
        ideal = f"{row['ideal_p99_us']:.0f}" if "ideal_p99_us" in row else ""
        print(f"| {case} | {name} | {row['p50_us']:.0f} | {row['p99_us']:.0f} | {ideal} |")
    problems = missed(rows)
    for problem in problems:
        print(f"missed: {problem}", file=sys.stderr)
    return 1 if options.check and problems else 0


if __name__ == "__main__":
    sys.exit(main())
