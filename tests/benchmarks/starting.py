"""P9: start-up: the time and the memory that imports take, each in a fresh process.

Ours is everything that `custody serve` imports (Flask, gunicorn, SQLAlchemy, psycopg, our own), and `ours_scanner` what
`custody scanner` does, without a key file or a database; both as those programs load it, most of it with garbage collection
put off. The peer imports what such a service is usually built from: flask, web3, SQLAlchemy's ORM, psycopg and authlib. The
limit is Python alone. Time is that of the whole process as its parent sees it, compiled modules being there; `…_cpu_ms` is its
processor time, which a busy machine changes less; `…_mb` is the most memory that was resident.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tests.benchmarks.environments import ROOT, python_of
from tests.benchmarks.harness import Result, interleaved, median, ratio, rounded, spread

ROUNDS = 7
DATABASE = "import psycopg, sqlalchemy.dialects.postgresql.psycopg"
"""What SQLAlchemy imports when it is given a URL of PostgreSQL."""
LOADING = "from custody_app.loading import loading\nwith loading():\n    import custody_app.cli.program"
WEB = f"{LOADING}, custody_app.cli.serve, custody_app.web\n{DATABASE}"
SCANNER = f"{LOADING}, custody_app.cli.scanner\nimport custody_app.bootstrap_keys\n{DATABASE}"
USUAL = "import flask, web3, sqlalchemy.orm, authlib.integrations.flask_oauth2"

MEMORY = "print(next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')))"
"""A process's own account, since what its parent is told includes the parent's memory as it was at the fork."""


class Started:
    """A program that ends at once, and what its runs took."""

    def __init__(self, python: Path, program: str) -> None:
        self._command = [str(python), "-W", "ignore", "-c", f"{program}\n{MEMORY}"]
        self._cpu_ms: list[float] = []
        self._memory_mb: list[float] = []

    def run(self) -> float:
        """Milliseconds."""
        start = time.perf_counter()
        # Ours finds its modules as it is installed, without this folder.
        process = subprocess.Popen(
            self._command, cwd=ROOT / "docs", env=_environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
        )
        told = process.stdout.read() if process.stdout else b""
        _, status, used = os.wait4(process.pid, 0)
        took_s = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)  # it was waited for here, not by `subprocess`
        if process.returncode:
            raise RuntimeError(f"{self._command} failed")
        self._cpu_ms.append((used.ru_utime + used.ru_stime) * 1000)
        self._memory_mb.append(int(told) / 1024)
        return took_s * 1000

    @property
    def cpu_ms(self) -> float:
        return rounded(statistics.median(self._cpu_ms[1:]))

    @property
    def memory_mb(self) -> float:
        return rounded(statistics.median(self._memory_mb[1:]))


def run() -> Result:
    own, usual = Path(sys.executable), python_of("bench")
    programs = {
        "ours": Started(own, WEB),
        "ours_scanner": Started(own, SCANNER),
        "peer": Started(usual, f"{USUAL}\n{DATABASE}"),
        "limit": Started(own, "pass"),
    }
    variants: dict[str, Callable[[], float]] = {name: program.run for name, program in programs.items()}
    rounds = interleaved("P9", variants, rounds=ROUNDS)
    return Result(
        id="P9",
        name="imports of the web process",
        ours=median(rounds, "ours"),
        peer=median(rounds, "peer"),
        limit=median(rounds, "limit"),
        ratio_to_peer=ratio(rounds, "peer", "ours"),
        ratio_to_limit=ratio(rounds, "ours", "limit"),
        unit="ms",
        runs=ROUNDS,
        more={
            "rounds_to_peer": spread(rounds, "peer", "ours"),
            "rounds_to_limit": spread(rounds, "ours", "limit"),
            "ours_scanner": median(rounds, "ours_scanner"),
            "ratio_to_peer_scanner": ratio(rounds, "peer", "ours_scanner"),
            "ratio_to_peer_cpu": rounded(programs["peer"].cpu_ms / programs["ours"].cpu_ms),
            "ratio_to_peer_memory": rounded(programs["peer"].memory_mb / programs["ours"].memory_mb),
            "ratio_to_peer_scanner_memory": rounded(programs["peer"].memory_mb / programs["ours_scanner"].memory_mb),
            **{f"{name}_cpu_ms": program.cpu_ms for name, program in programs.items()},
            **{f"{name}_mb": program.memory_mb for name, program in programs.items()},
        },
    )


def _environment() -> dict[str, str]:
    """This one, with compiled modules kept, as an installed program has them."""
    return {name: text for name, text in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
