"""The floors of floors.toml and whether a run holds them."""

import tomllib
from dataclasses import dataclass, field, replace
from pathlib import Path

from .rows import ROWS
from .stats import Measured, Summary, advantage

OURS = "stator"
# A median of fewer is no figure.
LEAST_REPETITIONS = 3

PASS, FAIL, NOT_MEASURED = "pass", "fail", "not measured"

Results = dict[str, dict[str, Measured]]  # by row, then by peer


@dataclass(frozen=True)
class Floor:
    row: str
    metric: str
    title: str
    limit: float
    cost: bool  # the limit is an upper one
    ratios: dict[str, float] = field(default_factory=dict)
    peer: str = OURS  # whose it is; another one of ours may be absent


@dataclass(frozen=True)
class Verdict:
    row: str
    title: str
    basis: str  # the peer and factor, or the absolute limit
    outcome: str
    detail: str
    needed: bool = True  # or it may be absent

    def as_json(self) -> dict:
        return vars(self).copy()


def load(path: Path) -> list[Floor]:
    """Raises ValueError naming what is wrong in the file."""
    with path.open("rb") as file:
        entries = tomllib.load(file).get("floor", [])
    return [
        _floor(entry, f"{path.name}: floor {number}") for number, entry in enumerate(entries, 1)
    ]


def _floor(entry: dict, where: str) -> Floor:
    unknown = set(entry) - {"row", "metric", "title", "at_least", "at_most", "ratio", "peer"}
    if unknown:
        raise ValueError(f"{where}: unknown key '{sorted(unknown)[0]}'")
    entry = {"peer": OURS, **entry}
    for key in ("row", "metric", "title", "peer"):
        if not isinstance(entry.get(key), str):
            raise ValueError(f"{where}: '{key}' is missing or not a string")
    if entry["row"] not in ROWS:
        raise ValueError(f"{where}: no row '{entry['row']}'")
    if ("at_least" in entry) == ("at_most" in entry):
        raise ValueError(f"{where}: needs one of 'at_least' and 'at_most'")
    cost = "at_most" in entry
    limit = entry["at_most" if cost else "at_least"]
    ratios = entry.get("ratio", {})
    if not _is_positive(limit) and not (cost and limit == 0 and limit is not False):
        raise ValueError(f"{where}: a limit is a number above 0, or 0 of a cost")
    if not all(_is_positive(number) for number in ratios.values()):
        raise ValueError(f"{where}: ratios are numbers above 0")
    return Floor(
        entry["row"], entry["metric"], entry["title"], float(limit), cost, ratios, entry["peer"]
    )


def _is_positive(number) -> bool:
    return isinstance(number, (int, float)) and not isinstance(number, bool) and number > 0


def check(floors: list[Floor], results: Results) -> list[Verdict]:
    """Verdicts on the rows that were run. Nothing absent ever passes."""
    ours = dict.fromkeys((OURS, *(floor.peer for floor in floors)))
    verdicts = [
        verdict
        for row, peers in results.items()
        for name in ours
        for verdict in _soundness(row, name, peers.get(name, Measured()))
    ]
    for floor in floors:
        if floor.row in results:
            verdicts += check_floor(floor, results[floor.row])
    return verdicts


def holds(verdicts: list[Verdict]) -> bool:
    """True when no floor is missed and each of ours was measured; absent peers alone do no harm."""
    by_floor: dict[tuple[str, str], list[str]] = {}
    for verdict in filter(lambda each: each.needed, verdicts):
        by_floor.setdefault((verdict.row, verdict.title), []).append(verdict.outcome)
    return bool(by_floor) and all(
        FAIL not in outcomes and PASS in outcomes for outcomes in by_floor.values()
    )


def _soundness(row: str, name: str, ours: Measured) -> list[Verdict]:
    """A row with failed repetitions or failed calls fails, whatever its figures are."""
    if not ours.repetitions and not ours.failures:
        return []
    problems = list(ours.failures)
    errors = sum(int(repetition.get("errors", 0)) for repetition in ours.repetitions)
    if errors:
        problems.append(f"{errors} calls failed")
    if not problems:
        return []
    title = f"every repetition and call of {name} succeeds"
    return [Verdict(row, title, "absolute", FAIL, "; ".join(problems))]


def check_floor(floor: Floor, peers: dict[str, Measured]) -> list[Verdict]:
    def verdict(basis: str, outcome: str, detail: str) -> Verdict:
        return Verdict(floor.row, floor.title, basis, outcome, detail)

    sign = "<=" if floor.cost else ">="
    absolute = f"{sign} {floor.limit:g}"
    ours = usable(peers.get(floor.peer), floor.metric)
    if isinstance(ours, str):
        missing = verdict(absolute, NOT_MEASURED, f"{floor.peer}: {ours}")
        needed = floor.peer == OURS or floor.peer in peers
        return [replace(missing, needed=needed)]

    verdicts = []
    for name, factor in floor.ratios.items():
        theirs = usable(peers.get(name), floor.metric)
        if isinstance(theirs, str):
            verdicts.append(verdict(f"{factor:g}x {name}", NOT_MEASURED, theirs))
            continue
        reached = advantage(ours, theirs, floor.cost)
        if reached is None:
            verdicts.append(verdict(f"{factor:g}x {name}", NOT_MEASURED, "a median of 0"))
            continue
        detail = f"{reached:.2f}x ({ours.median:g} against {theirs.median:g})"
        verdicts.append(verdict(f"{factor:g}x {name}", PASS if reached >= factor else FAIL, detail))
    if all(each.outcome == NOT_MEASURED for each in verdicts):
        met = ours.median <= floor.limit if floor.cost else ours.median >= floor.limit
        verdicts.append(verdict(absolute, PASS if met else FAIL, f"{ours.median:g}"))
    return verdicts


def usable(measured: Measured | None, metric: str) -> Summary | str:
    """The samples that a floor may be judged by, or why there are none."""
    if measured is None or not (measured.repetitions or measured.failures):
        return "absent"
    if measured.failures:
        return f"failed: {measured.failures[0]}"
    if any(repetition.get("errors", 0) > 0 for repetition in measured.repetitions):
        return "some of its calls failed"
    summary = measured.summary(metric)
    if summary is None:
        return f"no figure for {metric}"
    if len(summary.samples) < LEAST_REPETITIONS:
        return f"{len(summary.samples)} repetitions, {LEAST_REPETITIONS} are needed"
    return summary
