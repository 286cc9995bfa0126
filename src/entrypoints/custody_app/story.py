"""How the demo tells its story: short lines with the seconds since it began, and one live line while it waits."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping

import click

from custody_app.cli.output import LiveLine, bar, mark, paint

_WORD_MAX = 24


class Story:
    """Tells on stdout what happens."""

    def __init__(self) -> None:
        self._began_at = time.monotonic()
        self._live = LiveLine(sys.stdout)

    def title(self, text: str) -> None:
        self._write(paint(text, "", sys.stdout, bold=True))

    def heading(self, text: str) -> None:
        self._write("")
        self._write(paint(text, "", sys.stdout, bold=True))

    def command(self, *words: str) -> None:
        """A command as one would type it, but for ids and addresses, which are cut."""
        shown = " ".join(_cut(word) for word in words)
        self._write(paint(f"  $ custody {shown}", "cyan", sys.stdout))

    def request(self, method: str, path: str, body: Mapping[str, str]) -> None:
        """An HTTP request as one would type it, without its headers."""
        shown = json.dumps({name: _cut(text) for name, text in body.items()}, ensure_ascii=False, separators=(",", ":"))
        self._write(paint(f"  $ curl -X {method} …/v1{path} -d '{shown}'", "cyan", sys.stdout))

    def done(self, text: str) -> None:
        self._write(f"  {mark(True)} {self._elapsed()}  {text}")

    def line(self, text: str) -> None:
        self._write(f"  {text}".rstrip())

    def progress(self, done: int, total: int, what: str) -> None:
        """The live line. Nothing without a terminal."""
        self._live.update(f"    {self._elapsed()}  {bar(min(done, total), total, sys.stdout)} {what}")

    def clear(self) -> None:
        self._live.clear()

    def _elapsed(self) -> str:
        return f"{time.monotonic() - self._began_at:4.1f} s"

    def _write(self, text: str) -> None:
        self._live.clear()
        click.echo(text)


def _cut(word: str) -> str:
    return word if len(word) <= _WORD_MAX else f"{word[:8]}…{word[-4:]}"
