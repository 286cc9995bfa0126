"""The `custody` program, run as its users run it."""

import contextlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self
from unittest import mock

import attrs

from custody_app.cli.program import run

CUSTODY = Path(sys.executable).with_name("custody")

TIMEOUT_S = 60.0


@attrs.frozen
class Done:
    """What a command came to."""

    code: int
    out: str
    err: str

    @property
    def data(self) -> Any:
        """Its JSON."""
        return json.loads(self.out)


@attrs.frozen
class Program:
    """`custody` in a folder of its own, with exactly these settings."""

    folder: Path
    settings: Mapping[str, str]

    @property
    def environment(self) -> dict[str, str]:
        """The environment without anybody's own settings. Compiled modules are kept, so that each start but the first is quick."""
        left_out = "PYTHONDONTWRITEBYTECODE"
        foreign = {name: text for name, text in os.environ.items() if not name.startswith("CUSTODY_") and name != left_out}
        return {**foreign, **{f"CUSTODY_{name}": text for name, text in self.settings.items()}}

    def with_settings(self, **changed: str) -> Self:
        """The same with other settings."""
        return attrs.evolve(self, settings={**self.settings, **changed})

    def run(self, *arguments: str, stdin: str = "") -> Done:
        """Runs one command without a terminal."""
        done = subprocess.run(
            [CUSTODY, *arguments],
            cwd=self.folder,
            env=self.environment,
            input=stdin,
            capture_output=True,
            encoding="utf-8",
            check=False,
            timeout=TIMEOUT_S,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    def json(self, *arguments: str) -> Any:
        """The JSON of a command that must succeed."""
        done = self.run(*arguments, "--json")
        assert done.code == 0, done
        return done.data

    def files(self) -> dict[str, bytes]:
        """Everything that lies in the folder."""
        return {str(path.relative_to(self.folder)): path.read_bytes() for path in self.folder.rglob("*") if path.is_file()}


@attrs.frozen
class ProgramWithin(Program):
    """The same within this process: what `custody` does after it has started, without the second that the start takes."""

    def run(self, *arguments: str, stdin: str = "") -> Done:
        out, err = _Stream(), _Stream()
        with contextlib.ExitStack() as changed:
            changed.enter_context(contextlib.chdir(self.folder))
            changed.enter_context(mock.patch.dict(os.environ, self.environment, clear=True))
            changed.enter_context(mock.patch("sys.stdin", io.TextIOWrapper(io.BytesIO(stdin.encode()))))
            changed.enter_context(contextlib.redirect_stdout(out))
            changed.enter_context(contextlib.redirect_stderr(err))
            code = run(arguments)
        return Done(code, out.getvalue(), err.getvalue())


class _Stream(io.StringIO):
    encoding = "utf-8"
