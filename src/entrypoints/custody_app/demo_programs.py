"""`custody` as the demo runs it: the same commands that its viewer would type, each shown before it runs."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs

from custody_app.children import Children
from custody_app.story import Story
from custody_core import CustodyError

STEP_WITHIN_S = 60.0
"""How long any step of the demo may take."""

_LISTENING = re.compile(r"Listening at: (http://127\.0\.0\.1:\d+) ")
_LOOK_EVERY_S = 0.05


class DemoFailed(CustodyError):
    """Something did not happen as it should have."""

    code = "demo-failed"


@attrs.frozen
class Background:
    """A command that keeps running, and the file that has its output."""

    name: str
    process: subprocess.Popen[Any]
    log: Path

    def require_running(self) -> None:
        """Raises `DemoFailed` once it has ended."""
        if self.process.poll() is not None:
            raise DemoFailed(f"`custody {self.name}` ended by itself; {self.log} tells why")


@attrs.frozen
class Programs:
    """Runs `custody` with one environment. Whatever it starts ends with `children`."""

    story: Story
    children: Children
    folder: Path
    environment: Mapping[str, str]

    def answer(self, *arguments: str) -> Any:
        """The JSON of one command. Raises `DemoFailed` when it fails."""
        self.story.command(*arguments)
        done = self.run(*arguments, "--json")
        if done.returncode != 0:
            said = done.stderr.strip().splitlines() or ["it says nothing"]
            raise DemoFailed(f"`custody {arguments[0]}` ended with exit code {done.returncode}: {said[-1]}")
        return json.loads(done.stdout)

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """One command to its end, whatever that is."""
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "encoding": "utf-8"}
        with self.children.running(_program(*arguments), env=self.environment, **pipes) as process:
            try:
                out, err = process.communicate(timeout=STEP_WITHIN_S)
            except subprocess.TimeoutExpired:
                raise DemoFailed(f"`custody {arguments[0]}` does not end within {STEP_WITHIN_S:g} s") from None
        return subprocess.CompletedProcess(arguments, process.returncode, out, err)

    @contextmanager
    def background(self, name: str, *options: str) -> Iterator[Background]:
        """One command that keeps running, its output in a file of the folder."""
        self.story.command(name, *options, "&")
        file = self.folder / f"{name}.log"
        with (
            file.open("wb") as log,
            self.children.running(_program(name, *options), env=self.environment, stdout=log, stderr=log) as process,
        ):
            yield Background(name, process, file)


def listening_at(web: Background) -> str:
    """The URL of a `custody serve` that was left to take any free port. Raises `DemoFailed`."""
    deadline = time.monotonic() + STEP_WITHIN_S
    while time.monotonic() < deadline:
        found = _LISTENING.search(web.log.read_text("utf-8", errors="replace"))
        if found:
            return found[1]
        web.require_running()
        time.sleep(_LOOK_EVERY_S)
    raise DemoFailed(f"`custody serve` does not listen within {STEP_WITHIN_S:g} s; {web.log} tells why")


def program_as_typed() -> str:
    """How this program is called from here."""
    if shutil.which("custody"):
        return "custody"
    program = Path(sys.argv[0]).absolute()
    here = Path.cwd()
    return str(program.relative_to(here) if program.is_relative_to(here) else program)


def _program(*arguments: str) -> list[str]:
    # -P: what lies in the folder that we are in is not imported.
    return [sys.executable, "-P", "-m", "custody_app.cli", *arguments]
