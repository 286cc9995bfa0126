"""A process's own account of its memory."""

from __future__ import annotations

from pathlib import Path


def resident_mb(what: str = "VmRSS") -> float:
    """Megabytes (10^6 bytes) that are resident now; `VmHWM`: that were at most."""
    lines = Path("/proc/self/status").read_text("ascii").splitlines()
    return int(next(line for line in lines if line.startswith(what)).split()[1]) * 1024 / 1e6
