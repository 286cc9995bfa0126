"""`custody` as running processes of the operating system: started, killed, paused, waited for, and always ended.

    with Processes(program) as processes:
        scanner = processes.start("scanner")       # the program on disk, as its users start it
        scanner.kill()                             # SIGKILL
        processes.fork("scanner")                  # the same program, forked from a process that has imported it: 0.1 s, not 1 s
        processes.set_forward(25)                  # for all that were forked, leases and waits of 25 s are over

What a process writes on stderr is in its log, which `events` reads.
"""

import json
import multiprocessing
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import attrs

from tests.support.forked import CLOCK_VARIABLE, run_custody
from tests.support.program import CUSTODY, Program
from tests.support.waiting import until

STOP_TIMEOUT_S = 20.0
PRELOADED = [
    *("custody_app.cli.program", "custody_app.cli.scanner", "custody_sql.store", "psycopg", "sqlalchemy.dialects.postgresql"),
    # Not `custody_http`: the metrics library that it imports looks at the environment when it is imported.
    *("flask", "gunicorn.app.base", "gunicorn.workers.gthread"),
]

_forking = multiprocessing.get_context("forkserver")
_forking.set_forkserver_preload(PRELOADED)


@attrs.define
class Running:
    """One process. `poll` gives its exit code, negative for a signal, None while it runs."""

    pid: int
    log: Path
    _poll: Callable[[], int | None]
    _lock: threading.Lock = attrs.field(factory=threading.Lock)

    @property
    def code(self) -> int | None:
        with self._lock:
            return self._poll()

    @property
    def is_running(self) -> bool:
        return self.code is None

    def kill(self) -> None:
        """SIGKILL: whatever it was doing, it does no more of it."""
        self._signal(signal.SIGKILL)

    def terminate(self) -> None:
        """SIGTERM: asks it to end in order."""
        self._signal(signal.SIGTERM)

    def pause(self) -> None:
        """SIGSTOP: it stands still, and does not know."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        self._signal(signal.SIGCONT)

    def ended(self, timeout_s: float = STOP_TIMEOUT_S) -> int:
        """Waits for its end; its exit code."""
        return until(lambda: _some(self.code), what=f"process {self.pid} ends", timeout_s=timeout_s)[0]

    def stop(self, timeout_s: float = STOP_TIMEOUT_S) -> int:
        """Asks it to end, and waits for that; its exit code."""
        self.terminate()
        return self.ended(timeout_s)

    def events(self) -> list[dict[str, Any]]:
        """The JSON lines that it wrote, but for one that a kill cut off."""
        whole = self.log.read_text("utf-8").rpartition("\n")[0]
        return [json.loads(line) for line in whole.splitlines()]

    def _signal(self, number: signal.Signals) -> None:
        if self.is_running:
            os.kill(self.pid, number)


def _some(code: int | None) -> tuple[int] | None:
    return None if code is None else (code,)


class Processes:
    """Processes of one `program`, which end with this."""

    def __init__(self, program: Program, *, logs: Path) -> None:
        self._program = program
        self._logs = logs
        self._numbers = count(1)
        self._clock = logs / "clock-ahead-s"
        self._ahead_s = 0.0
        self.set_forward(0)
        self.all: list[Running] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for process in self.all:
            process.kill()
        for process in self.all:
            process.ended()

    def newest(self) -> Running:
        """The one that was started last, as soon as there is one."""
        return until(lambda: self.all[-1] if self.all else None, what="a process is started")

    def start(self, *arguments: str, settings: Mapping[str, str] | None = None) -> Running:
        """The program on disk."""
        program = self._program.with_settings(**(settings or {}))
        log = self._new_log()
        with log.open("wb") as stream:
            process = subprocess.Popen(
                [CUSTODY, *arguments],
                cwd=program.folder,
                env=program.environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=stream,
            )
        return self._kept(Running(process.pid, log, process.poll))

    def fork(self, *arguments: str, settings: Mapping[str, str] | None = None) -> Running:
        """The program, forked from a process that has imported its modules and done nothing else."""
        program = self._program.with_settings(**(settings or {}))
        log = self._new_log()
        environment = {**program.environment, CLOCK_VARIABLE: str(self._clock)}
        process = _forking.Process(target=run_custody, args=(arguments, environment, str(program.folder), str(log)))
        process.start()
        if process.pid is None:
            raise AssertionError("a process that was started has an id")
        return self._kept(Running(process.pid, log, lambda: process.exitcode))

    def set_forward(self, seconds: float) -> None:
        """The clock of every forked process, now and later, is ahead by so much more."""
        self._ahead_s += seconds
        # Renamed into place, so that nobody reads half a number.
        fresh = self._clock.with_suffix(".new")
        fresh.write_text(str(self._ahead_s), "ascii")
        fresh.replace(self._clock)

    def _new_log(self) -> Path:
        log = self._logs / f"process-{next(self._numbers)}.log"
        log.touch()
        return log

    def _kept(self, process: Running) -> Running:
        self.all.append(process)
        return process
