"""What a report says about the machine it was made on."""

import os
import platform
import subprocess
from pathlib import Path


def describe() -> dict:
    return {
        "cores": len(os.sched_getaffinity(0)),
        "processor": _field("/proc/cpuinfo", "model name"),
        "memory_gib": round(int(_field("/proc/meminfo", "MemTotal").split()[0]) / 2**20, 1),
        "kernel": platform.release(),
        "system": _field("/etc/os-release", "PRETTY_NAME", "=").strip('"'),
        "compiler": _first_line("clang++-19", "--version"),
        "rust": _first_line("rustc", "--version"),
        "grpc": _first_line("pkg-config", "--modversion", "grpc++"),
        "python": platform.python_version(),
    }


class Others:
    """The share of the machine's CPU time that others used, or the host stole, since this was made.

    What run.py and the programs it has waited for used is not theirs.
    """

    def __init__(self):
        self._ticks = _cpu_ticks()
        self._own = _own_cpu_seconds()

    def share(self) -> float:
        spent = [now - then for now, then in zip(_cpu_ticks(), self._ticks)]
        total = sum(spent) / os.sysconf("SC_CLK_TCK")
        idle = (spent[3] + spent[4]) / os.sysconf("SC_CLK_TCK")  # idle and iowait
        own = _own_cpu_seconds() - self._own
        return round(min(1.0, max(0.0, total - idle - own) / total), 3) if total > 0 else 0.0


def _own_cpu_seconds() -> float:
    return sum(os.times()[:4])  # user and system time, of this process and of its children


def _cpu_ticks() -> list[int]:
    # user nice system idle iowait irq softirq steal; guest time is part of user time
    with open("/proc/stat", encoding="ascii") as file:
        return [int(text) for text in file.readline().split()[1:9]]


def _field(path: str, key: str, separator: str = ":") -> str:
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    for line in lines:
        name, _, value = line.partition(separator)
        if name.strip() == key:
            return value.strip()
    return "0" if key == "MemTotal" else "unknown"


def _first_line(*command: str) -> str:
    try:
        run = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return "not found"
    return run.stdout.strip().partition("\n")[0]
