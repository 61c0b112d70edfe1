"""Samples of repetitions and how they are compared."""

import statistics
from dataclasses import dataclass, field

# Lower is better for these endings of a metric's name; everything else is a rate.
_COST_ENDINGS = (
    "_us",
    "_us_per_op",
    "_ms",
    "_ns",
    "_per_call",
    "_per_kill",
    "_per_stream",
    "_per_core",
    "descriptors",
    "errors",
)


@dataclass(frozen=True)
class Summary:
    """The samples of one metric, one per repetition."""

    samples: tuple[float, ...]

    def __post_init__(self):
        if not self.samples:
            raise ValueError("a summary needs at least one sample")

    @property
    def median(self) -> float:
        return statistics.median(self.samples)

    @property
    def low(self) -> float:
        return min(self.samples)

    @property
    def high(self) -> float:
        return max(self.samples)

    def as_json(self) -> dict:
        return {
            "median": self.median,
            "min": self.low,
            "max": self.high,
            "samples": list(self.samples),
        }


@dataclass
class Measured:
    """What one peer gave in one row: metrics per repetition, and the repetitions that failed."""

    repetitions: list[dict[str, float]] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def summary(self, metric: str) -> Summary | None:
        """None when any repetition lacks the metric: a median of the lucky ones would flatter."""
        samples = [repetition.get(metric) for repetition in self.repetitions]
        if not samples or any(sample is None for sample in samples):
            return None
        return Summary(tuple(samples))

    def metrics(self) -> list[str]:
        names: dict[str, None] = {}
        for repetition in self.repetitions:
            names.update(dict.fromkeys(repetition))
        return [name for name in names if self.summary(name) is not None]


def is_cost(metric: str) -> bool:
    """True when a lower value of the metric is better."""
    return metric.endswith(_COST_ENDINGS)


def advantage(ours: Summary, theirs: Summary, cost: bool) -> float | None:
    """How many times better our median is; None when the quotient does not exist."""
    better, worse = (theirs.median, ours.median) if cost else (ours.median, theirs.median)
    return better / worse if worse > 0 else None
