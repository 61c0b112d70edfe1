"""A run as Markdown and as JSON."""

from .floors import OURS, Results, Verdict
from .rows import ROWS, Row
from .stats import Measured, Summary, advantage, is_cost

_RPC_METRICS = {
    "requests_per_s": "requests/s",
    "items_per_s": "items/s",
    "gb_per_s": "GB/s",
    "cold_start_ms": "first answer, ms",
    "client_bytes_per_stream": "bytes per stream, client",
    "server_bytes_per_stream": "bytes per stream, server",
    "p50_us": "p50, us",
    "p90_us": "p90, us",
    "p99_us": "p99, us",
    "p999_us": "p99.9, us",
    "added_delay_p50_us": "added delay p50, us",
    "added_delay_p99_us": "added delay p99, us",
    "cpu_client_us_per_op": "CPU per op, client, us",
    "cpu_server_us_per_op": "CPU per op, server, us",
    "cpu_us_per_op": "CPU per op, both, us",
    "descriptors": "descriptors, the most of a side",
    "threads_per_core": "threads per core, the most of a side",
    "failed_unaccepted_per_kill": "failed calls per kill whose answer had not begun",
    "failed_accepted_per_kill": "failed calls per kill whose answer had begun",
    "errors": "errors",
}
_ABSENT = "-"
_PER_REQUEST = ("requests_per_s",)
_PER_ITEM = ("items_per_s", "added_delay_p50_us", "added_delay_p99_us")


def number(value: float) -> str:
    """At most four significant digits, large ones grouped by thousands."""
    if abs(value) >= 1000:
        digits = len(str(int(abs(value))))
        return f"{round(value, 4 - digits):,.0f}".replace(",", " ")
    return f"{value:.4g}"


def cell(summary: Summary | None) -> str:
    if summary is None:
        return _ABSENT
    if summary.low == summary.high:
        return number(summary.median)
    return f"**{number(summary.median)}** ({number(summary.low)} - {number(summary.high)})"


def _metrics(row: Row, peers: dict[str, Measured]) -> list[str]:
    """The metrics worth a line, in reading order."""
    if row.kind != "rpc":
        return list(
            dict.fromkeys(name for measured in peers.values() for name in measured.metrics())
        )
    hidden = _PER_REQUEST if row.counts_items else _PER_ITEM
    if row.mode == "stream":
        hidden = (*_PER_REQUEST, "added_delay_p50_us", "added_delay_p99_us")
    return [name for name in _RPC_METRICS if name not in hidden]


def _table(header: list[str], lines: list[list[str]]) -> str:
    ruler = ["---"] * len(header)
    return "\n".join("| " + " | ".join(line) + " |" for line in (header, ruler, *lines))


def row_table(row: Row, peers: dict[str, Measured]) -> str:
    """Medians, with the least and the greatest sample in parentheses."""
    names = list(peers)
    lines = [
        [_RPC_METRICS.get(metric, metric), *(cell(peers[name].summary(metric)) for name in names)]
        for metric in _metrics(row, peers)
    ]
    lines = [line for line in lines if any(text != _ABSENT for text in line[1:])]
    text = _table(["", *names], lines) if lines else "No figures."
    failures = [f"- {name}: {failure}" for name in names for failure in peers[name].failures]
    return "\n".join([text, *([""] if failures else []), *failures])


def ratio_table(row: Row, peers: dict[str, Measured]) -> str | None:
    """How many times better our medians are than each peer's; None without our figures."""
    ours = peers.get(OURS)
    others = [name for name in peers if name != OURS and peers[name].repetitions]
    if ours is None or not ours.repetitions or not others:
        return None
    lines = []
    for metric in _metrics(row, peers):
        mine = ours.summary(metric)
        if metric == "errors" or mine is None:
            continue
        theirs = [peers[name].summary(metric) for name in others]
        factors = [their and advantage(mine, their, is_cost(metric)) for their in theirs]
        lines.append(
            [_RPC_METRICS.get(metric, metric), *(f"{f:.2f}x" if f else _ABSENT for f in factors)]
        )
    return _table([f"{OURS} is better by", *others], lines)


def verdict_table(verdicts: list[Verdict]) -> str:
    lines = [[v.row, v.title, v.basis, v.outcome, v.detail] for v in verdicts]
    return _table(["row", "floor", "measured by", "outcome", "figure"], lines)


def markdown(run: dict, results: Results, verdicts: list[Verdict] | None) -> str:
    machine = run["machine"]
    parts = [
        "# Benchmark run",
        f"{machine['cores']} x {machine['processor']}, {machine['memory_gib']} GiB, "
        f"{machine['system']}, Linux {machine['kernel']}; {machine['compiler']}; "
        f"{machine['rust']}; gRPC {machine['grpc']}.",
        f"{run['repetitions']} interleaved repetitions of {run['warmup']:g} s warm-up and "
        f"{run['seconds']:g} s measured, a fresh server each; **median** (least - greatest).",
    ]
    for name, peers in results.items():
        parts += [f"## {name}: {ROWS[name].title}", row_table(ROWS[name], peers)]
        parts.append(f"Others used {run['others_cpu_share'][name]:.0%} of the CPU meanwhile.")
        ratios = ratio_table(ROWS[name], peers)
        parts.append(ratios or f"{OURS}: not measured, so no ratios.")
    if run["absent"]:
        parts += ["## Not measured", "\n".join(f"- {absent}" for absent in run["absent"])]
    if verdicts is not None:
        parts += ["## Floors", verdict_table(verdicts)]
    return "\n\n".join(parts) + "\n"


def as_json(run: dict, results: Results, verdicts: list[Verdict] | None) -> dict:
    rows = {
        row: {
            peer: {
                "metrics": {name: measured.summary(name).as_json() for name in measured.metrics()},
                "failures": measured.failures,
            }
            for peer, measured in peers.items()
        }
        for row, peers in results.items()
    }
    checks = None if verdicts is None else [verdict.as_json() for verdict in verdicts]
    return {**run, "rows": rows, "check": checks}
