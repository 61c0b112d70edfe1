#!/usr/bin/env python3
"""Counts instructions under callgrind and holds them against docs/perf/baselines.json.

Exit status: 0 held (or updated), 1 a count grew too much, 2 usage, 77 the counts cannot be compared here.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BASELINES = ROOT / "docs/perf/baselines.json"
UPDATE = "./dev instructions --update"
SKIPPED = 77
# A count may grow by this share before the baseline has to be changed on purpose.
ALLOWED = 0.05
# The same memcpy on every processor: glibc chooses by what the processor offers.
PLAIN_GLIBC = "glibc.cpu.hwcaps=-AVX2,-AVX,-AVX512F,-AVX512VL,-ERMS,-FSRM,-Prefer_No_VZEROUPPER"
TIMEOUT = 170


class CannotCount(Exception):
    """Not the fault of what is measured; the text says why."""


def made_with(program: str) -> dict[str, str]:
    """The versions that the counts depend on."""
    if not program or not Path(program).exists():
        raise CannotCount("stator_instructions is not built; it needs valgrind's headers")
    if shutil.which("valgrind") is None:
        raise CannotCount("valgrind is not installed")
    compiled = subprocess.run([program, "--made-with"], capture_output=True, text=True, check=True)
    valgrind = subprocess.run(["valgrind", "--version"], capture_output=True, text=True, check=True)
    return {
        "machine": os.uname().machine,
        **json.loads(compiled.stdout),
        "valgrind": valgrind.stdout.strip(),
    }


def parse_dump(text: str) -> tuple[str, int] | None:
    """The case and the instructions of a dump of callgrind; None for the one at the end."""
    trigger = re.search(r"^desc: Trigger: Client Request: (\S+)$", text, re.M)
    totals = re.search(r"^(?:totals|summary): (\d+)", text, re.M)
    if trigger is None or totals is None:
        return None
    return trigger[1], int(totals[1])


def per_operation(operations: dict[str, int], dumps: list[tuple[str, int]]) -> dict[str, float]:
    """By case; of a case that was counted repeatedly, the least."""
    totals: dict[str, int] = {}
    for case, total in dumps:
        totals[case] = min(total, totals.get(case, total))
    if missing := set(operations) ^ set(totals):
        raise RuntimeError(f"the program and callgrind disagree about {', '.join(sorted(missing))}")
    return {case: round(totals[case] / count, 1) for case, count in operations.items()}


def count(program: str) -> dict[str, float]:
    """Instructions per operation, by case."""
    with tempfile.TemporaryDirectory(prefix="instructions-") as folder:
        command = [
            "valgrind",
            "--tool=callgrind",
            "--instr-atstart=no",
            f"--callgrind-out-file={folder}/dump",
            program,
        ]
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith("DYN_")
        }
        run = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            env=environment | {"GLIBC_TUNABLES": PLAIN_GLIBC},
        )
        if run.returncode != 0:
            raise RuntimeError(f"status {run.returncode}: {run.stderr.strip()[-2000:]}")
        operations = {
            line["case"]: line["operations"] for line in map(json.loads, run.stdout.splitlines())
        }
        dumps = [parse_dump(path.read_text()) for path in Path(folder).iterdir()]
        return per_operation(operations, [dump for dump in dumps if dump])


def differences(ours: dict[str, str], theirs: dict[str, str]) -> list[str]:
    return [
        f"{name}: here {ours.get(name)}, baseline {theirs.get(name)}"
        for name in {**ours, **theirs}
        if ours.get(name) != theirs.get(name)
    ]


def compare(counts: dict[str, float], baseline: dict[str, float]) -> tuple[list[str], bool]:
    """A line for each case, and whether all hold."""
    lines = []
    held = True
    for case in {**baseline, **counts}:
        now, then = counts.get(case), baseline.get(case)
        if now is None or then is None:
            where = "no longer counted" if now is None else "not in the baseline"
            lines.append(f"FAIL {case:16} {where}")
            held = False
            continue
        growth = now / then - 1
        good = growth <= ALLOWED
        held = held and good
        lines.append(f"{'ok' if good else 'FAIL':4} {case:16} {then:10.1f} {now:10.1f} {growth:+7.1%}")
    return lines, held


def update(path: Path, here: dict[str, str], counts: dict[str, float]):
    text = {"unit": "instructions per operation", "made_with": here, "counts": counts}
    path.write_text(json.dumps(text, indent=4) + "\n")


def check(path: Path, here: dict[str, str], program: str) -> int:
    baselines = json.loads(path.read_text())
    if other := differences(here, baselines["made_with"]):
        print("SKIPPED: the baselines were counted with other versions; nothing was compared.")
        print("\n".join(f"  {line}" for line in other))
        print(f"On a machine with the recorded versions this test counts. To record these: {UPDATE}")
        return SKIPPED
    lines, held = compare(count(program), baselines["counts"])
    print(f"     {'case':16} {'baseline':>10} {'now':>10}  growth; at most {ALLOWED:+.0%}")
    print("\n".join(lines))
    if held:
        return 0
    print(
        f"\nA count grew by more than {ALLOWED:.0%}, or the cases changed. If that is what the change is meant to\n"
        f"cost, record the new counts and commit {path.name} with the reason:\n    {UPDATE}"
    )
    return 1


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--program", default=str(ROOT / "build/release/bin/stator_instructions"), help="what counts"
    )
    parser.add_argument("--baselines", type=Path, default=BASELINES)
    parser.add_argument("--update", action="store_true", help="record the counts of this machine")
    chosen = parser.parse_args(arguments)
    try:
        here = made_with(chosen.program)
        if not chosen.update:
            return check(chosen.baselines, here, chosen.program)
    except CannotCount as problem:
        print(f"SKIPPED: {problem}")
        return 2 if chosen.update else SKIPPED
    counts = count(chosen.program)
    update(chosen.baselines, here, counts)
    print("\n".join(f"{case:16} {value:10.1f}" for case, value in counts.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
