"""Starting a peer's processes, reading what they print, and their CPU time."""

import os
import selectors
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path


class PeerFailed(Exception):
    """A peer did not do what the protocol asks; the text says what."""


def cpu_seconds(pid: int) -> float:
    """User and system time of a running process, threads that have ended included.

    The same quantity as utime + stime of /proc/<pid>/stat, but in nanoseconds and not in ticks of
    10 ms: a paced run uses less than 100 ms. The number is Linux' id of that process' CPU clock.
    """
    return time.clock_gettime((~pid << 3) | 2)


@dataclass(frozen=True)
class Resources:
    """What a running process has."""

    memory: int  # bytes that are resident
    descriptors: int
    threads: int

    @staticmethod
    def of(pid: int) -> "Resources":
        """Raises OSError when the process has ended."""
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace")
        fields = dict(line.partition(":")[::2] for line in status.splitlines())
        if "VmRSS" not in fields:
            raise ProcessLookupError(f"process {pid} has ended")
        return Resources(
            memory=int(fields["VmRSS"].split()[0]) * 1024,
            descriptors=len(os.listdir(f"/proc/{pid}/fd")),
            threads=int(fields["Threads"]),
        )


class Process:
    """A child, its output as lines, a bound on every wait. Leaving the context ends the child."""

    def __init__(self, command: list[str], environment: dict[str, str] | None = None):
        self.name = os.path.basename(command[0])
        self._errors = tempfile.TemporaryFile()
        self.started_ns = time.monotonic_ns()
        try:
            self._child = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                env={**os.environ, **(environment or {})},
            )
        except OSError as problem:
            self._errors.close()
            raise PeerFailed(f"{self.name} does not start: {problem}") from problem
        os.set_blocking(self._child.stdout.fileno(), False)
        self._buffer = b""
        self._ended = False

    def running(self) -> bool:
        return self._child.poll() is None

    @property
    def pid(self) -> int:
        return self._child.pid

    def __enter__(self) -> "Process":
        return self

    def __exit__(self, *_):
        self.end()

    def end(self, by: signal.Signals = signal.SIGTERM):
        """Idempotent."""
        if self._child.poll() is None:
            self._child.send_signal(by)
            try:
                self._child.wait(timeout=5)
            except subprocess.TimeoutExpired:
                self._child.kill()
                self._child.wait()
        self._child.stdout.close()
        self._errors.close()

    def line(self, deadline: float) -> str | None:
        """The next line of output; None at its end. PeerFailed after `deadline`, monotonic."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._child.stdout, selectors.EVENT_READ)
            while b"\n" not in self._buffer and not self._ended:
                if not selector.select(max(0.0, deadline - time.monotonic())):
                    raise self.failed("printed nothing in time")
                chunk = self._child.stdout.read()
                self._ended = chunk == b""
                self._buffer += chunk or b""
        if not self._buffer:
            return None
        text, _, self._buffer = self._buffer.partition(b"\n")
        return text.decode(errors="replace")

    def finish(self, deadline: float):
        """Waits for the end; PeerFailed unless the status is 0."""
        try:
            status = self._child.wait(timeout=max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            raise self.failed("did not end in time") from None
        if status != 0:
            raise self.failed(f"ended with status {status}")

    def failed(self, what: str) -> PeerFailed:
        self._errors.seek(0)
        last = self._errors.read().decode(errors="replace").strip().splitlines()[-1:]
        return PeerFailed(f"{self.name} {what}" + "".join(f": {text}" for text in last))
