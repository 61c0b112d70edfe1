"""The workloads. A row is one table of the report; every peer that can run it does."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    name: str
    title: str
    kind: str = "rpc"  # rpc, local, discovery or events
    mode: str = "unary"
    concurrency: int = 1
    items: int = 1
    size: int = 64
    pace_us: int = 0
    spread: bool = False
    serve: tuple[str, ...] = ()  # what the server is told besides
    settings: tuple[tuple[str, str], ...] = ()  # variables of both sides; only ours know them

    @property
    def counts_items(self) -> bool:
        """Whether an operation is an item, and not a request."""
        return self.mode in ("stream", "paced")

    def warmup(self, asked: float) -> float:
        """In seconds. A paced stream keeps the offset that it began with: those that began while the processes were
        cold have ended before the window opens."""
        return max(asked, self.items * self.pace_us * 1.5 / 1e6)

    def client_options(self, seconds: float, warmup: float) -> list[str]:
        options = {
            "--mode": self.mode,
            "--concurrency": self.concurrency,
            "--seconds": seconds,
            "--warmup": self.warmup(warmup),
            "--items": self.items,
            "--size": self.size,
            "--pace-us": self.pace_us,
        }
        if self.spread:
            options["--spread"] = 1
        return [text for option, value in options.items() for text in (option, str(value))]


def _unary(concurrency: int) -> Row:
    return Row(
        f"unary{concurrency}",
        f"Unary, 64 bytes each way, {concurrency} in flight",
        concurrency=concurrency,
    )


def _stream(concurrency: int) -> Row:
    return Row(
        f"stream{concurrency}",
        f"Streams of 100 items of 64 bytes, {concurrency} in flight",
        mode="stream",
        concurrency=concurrency,
        items=100,
    )


def _paced(concurrency: int, spread: bool) -> Row:
    starts = "starting evenly over 20 ms" if spread else "starting together"
    return Row(
        f"paced{concurrency}" + ("spread" if spread else ""),
        f"{concurrency} streams of 40 items of 64 bytes, one each 20 ms, {starts}",
        mode="paced",
        concurrency=concurrency,
        items=40,
        pace_us=20_000,
        spread=spread,
    )


def _bulk(name: str, size: int, text: str) -> Row:
    return Row(
        name,
        f"Requests of {text}, answers of 64 bytes, 16 in flight",
        mode="bulk",
        concurrency=16,
        size=size,
    )


HELD = 64  # what the limit of over_limit lets in
IDLE = 100_000

ROWS = {
    row.name: row
    for row in (
        *(_unary(concurrency) for concurrency in (1, 16, 64, 256, 1024)),
        Row(
            "unary1poll",
            "Unary, 64 bytes each way, one in flight, ours with busy polling",
            settings=(("DYN_RUNTIME_BUSY_POLL", "100us"),),
        ),
        *(_stream(concurrency) for concurrency in (1, 64, 512)),
        _paced(64, spread=False),
        _paced(512, spread=False),
        _paced(512, spread=True),
        _bulk("bulk64k", 64 << 10, "64 KiB"),
        _bulk("bulk1m", 1 << 20, "1 MiB"),
        Row(
            "idle_streams",
            "100 000 streams that have sent one item, then nothing",
            mode="idle",
            concurrency=IDLE,
        ),
        Row(
            "over_limit",
            f"Requests at a worker whose limit of {HELD} is used up, one at a time",
            mode="over_limit",
            concurrency=HELD,
            serve=("--limit", str(HELD)),
        ),
        Row("cold_start", "From starting a server to its first answer", mode="first"),
        Row(
            "failover",
            "Failed calls of 8 callers of two workers when one is killed",
            mode="failover",
            concurrency=8,
        ),
        Row("local", "Operations inside one thread, ns", kind="local"),
        Row("discovery", "Discovery, file backend", kind="discovery"),
        Row("events", "Events of 64 bytes between two processes, one each 200 us", kind="events"),
    )
}

DEFAULT_ROWS = (
    "unary1",
    "unary1poll",
    "unary64",
    "stream64",
    "paced512",
    "paced512spread",
    "bulk64k",
    "bulk1m",
    "idle_streams",
    "over_limit",
    "cold_start",
    "local",
    "discovery",
    "events",
)


# What is compared with the original: `--dynamo`.
DYNAMO_ROWS = (
    "unary1",
    "unary16",
    "unary64",
    "unary256",
    "unary1024",
    "stream64",
    "paced512",
)
DYNAMO_PEERS = (
    "stator",
    "dynamo",
    "dynamo_quic",
    "stator_dynamo",
    "stator_to_dynamo",
    "dynamo_to_stator",
    "dynamo_nats",
    "stator_nats",
)


def select(names: str) -> list[Row]:
    """The rows of a comma-separated list, or `all`; raises ValueError naming an unknown one."""
    chosen: dict[str, Row] = {}
    for name in names.split(","):
        if name == "all":
            chosen.update(ROWS)
        elif name in ROWS:
            chosen[name] = ROWS[name]
        else:
            raise ValueError(f"no row '{name}'; there are {', '.join(ROWS)} and all")
    return list(chosen.values())
