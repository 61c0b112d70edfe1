"""What the kernel counts while a window is open: system calls of processes, traffic of the loopback device."""

import os
import signal
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from .process import PeerFailed

# Those that a transport can do something about; the rest is summed up.
NAMED = (
    *("epoll_wait", "epoll_pwait", "epoll_ctl", "timerfd_settime", "futex"),
    *("sendmsg", "sendto", "writev", "write", "recvmsg", "recvfrom", "readv", "read"),
    *("accept4", "connect", "socket", "setsockopt", "shutdown", "close", "sched_yield", "madvise"),
)
_TOTAL = "raw_syscalls:sys_enter"


def parse_perf(text: str) -> dict[str, int]:
    """Counts by name of `perf stat -x,` with tracepoints of system calls; 'all' is their total."""
    counts = {}
    for line in text.splitlines():
        fields = line.split(",")
        if len(fields) < 3 or line.startswith("#"):
            continue
        if not fields[0].isdecimal():
            raise PeerFailed(f"perf counted nothing: {line}")
        name = fields[2].partition(":")[2].removeprefix("sys_enter").removeprefix("_")
        counts[name or "all"] = int(fields[0])
    if "all" not in counts:
        raise PeerFailed("perf printed no total")
    return counts


class SystemCalls:
    """Counts by side and name while the context is open; in `counts` afterwards."""

    def __init__(self, sides: dict[str, int]):
        self._sides = sides
        self._running: dict[str, tuple[subprocess.Popen, Path]] = {}
        self._folder = tempfile.TemporaryDirectory(prefix="bench-counters-")
        self.counts: dict[str, dict[str, int]] = {}

    def __enter__(self) -> "SystemCalls":
        events = ",".join([_TOTAL, *(f"syscalls:sys_enter_{name}" for name in NAMED)])
        for side, pid in self._sides.items():
            output = Path(self._folder.name) / side
            command = ["perf", "stat", "-x,", "-o", str(output), "-e", events, "-p", str(pid)]
            try:
                child = subprocess.Popen(command, stdin=subprocess.DEVNULL)
            except OSError as problem:
                raise PeerFailed(f"perf does not start: {problem}") from problem
            self._running[side] = (child, output)
        return self

    def __exit__(self, *failed):
        for child, _ in self._running.values():
            child.send_signal(signal.SIGINT)
        for side, (child, output) in self._running.items():
            child.wait(timeout=10)
            if failed[0] is None:
                self.counts[side] = parse_perf(output.read_text(encoding="utf-8"))
        self._folder.cleanup()


@dataclass(frozen=True)
class Loopback:
    """What the loopback device of this network namespace has carried; headers are in the bytes."""

    bytes: int
    segments: int

    @staticmethod
    def now() -> "Loopback":
        # sysfs shows the namespace in which it was mounted; procfs that of who reads.
        for line in Path(f"/proc/{os.getpid()}/net/dev").read_text(encoding="ascii").splitlines():
            name, _, fields = line.partition(":")
            if name.strip() == "lo":
                numbers = [int(field) for field in fields.split()]
                return Loopback(bytes=numbers[0], segments=numbers[1])
        raise PeerFailed("there is no loopback device")

    def __sub__(self, other: "Loopback") -> "Loopback":
        return Loopback(self.bytes - other.bytes, self.segments - other.segments)


@dataclass(frozen=True)
class PerOperation:
    calls: dict[str, dict[str, float]]  # by side and name, per operation
    bytes: float
    segments: float

    @staticmethod
    def of(operations: float, calls: dict[str, dict[str, int]], sent: Loopback) -> "PerOperation":
        if operations <= 0:
            raise PeerFailed("no operation was measured")
        each = {
            side: {name: count / operations for name, count in counts.items()}
            for side, counts in calls.items()
        }
        return PerOperation(each, sent.bytes / operations, sent.segments / operations)

    def __str__(self) -> str:
        sides = []
        for side, counts in self.calls.items():
            most = sorted((item for item in counts.items() if item[0] != "all"), key=lambda item: -item[1])
            named = ", ".join(f"{name} {each:.3g}" for name, each in most[:5] if each >= counts["all"] / 50)
            sides.append(f"{side} {counts['all']:.3g} system calls ({named})")
        return f"{'; '.join(sides)}; {self.bytes:.4g} bytes and {self.segments:.3g} segments on the wire"
