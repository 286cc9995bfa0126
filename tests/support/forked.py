"""What a forked child runs: `custody` with settings, folder, log and clock of its own. Imports only what the program does."""

import os
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

CLOCK_VARIABLE = "TEST_CLOCK_AHEAD_S"
"""Names the file that says by how many seconds the clock is ahead. Every process that is given the same file has the same time."""


def run_custody(arguments: Sequence[str], environment: Mapping[str, str], folder: str, log: str) -> None:
    """Becomes `custody arguments…`. Never returns."""
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    for stream, name in ((1, os.devnull), (2, log)):
        descriptor = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(descriptor, stream)
        os.close(descriptor)
    if clock := environment.get(CLOCK_VARIABLE):
        _set_forward(Path(clock))

    from custody_app.cli.program import run  # noqa: PLC0415 - after the clock, and in the child alone

    code = run(arguments)
    sys.stderr.flush()
    os._exit(code)


def _set_forward(file: Path) -> None:
    from custody_app.system import SystemClock  # noqa: PLC0415 - in the child alone

    def now(_clock: object) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=float(file.read_text("ascii")))

    setattr(SystemClock, "now", now)  # noqa: B010 - the program itself has no such knob
