"""What a report says about the machine it was made on."""

import os
import platform
import subprocess
import time
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


def load() -> dict:
    """Load average over a minute, and the share of CPU time that others use or steal right now."""
    before = _cpu_ticks()
    time.sleep(0.5)
    after = _cpu_ticks()
    spent = [now - then for now, then in zip(after, before)]
    idle = spent[3] + spent[4]  # idle and iowait
    return {
        "load_average": os.getloadavg()[0],
        "busy_share": round(1 - idle / max(1, sum(spent)), 3),
    }


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
