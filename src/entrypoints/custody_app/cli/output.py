"""How commands print: data on stdout, talk on stderr, colour and moving lines on a terminal only."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TextIO, TypeVar

import click

from custody_app.observers import QuietObserver

Command = TypeVar("Command", bound=Callable[..., Any])

BAR_WIDTH = 20

_ERASE_LINE = "\r\x1b[2K"


def json_option(command: Command) -> Command:
    """Adds `--json`, as the argument `as_json`."""
    return click.option("--json", "as_json", is_flag=True, help="print JSON instead of text")(command)


def show(data: object, *, as_json: bool, text: str) -> None:
    """The command's answer, on stdout."""
    click.echo(json.dumps(data, indent=2) if as_json else text)


def say(text: str) -> None:
    """Talk, on stderr."""
    click.echo(text, err=True)


def table(heads: Sequence[str], rows: Sequence[Sequence[object]], *, nothing: str) -> str:
    """Aligned columns under their heads, or the sentence `nothing` where there are no rows."""
    if not rows:
        return nothing
    cells = [[head.upper() for head in heads], *([_cell(value) for value in row] for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(heads))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells)


def fields(named: Mapping[str, object]) -> str:
    """One `name  value` a line; what is None or empty is left out."""
    shown = {name: _cell(value) for name, value in named.items() if value not in (None, "", [], {})}
    width = max((len(name) for name in shown), default=0)
    return "\n".join(f"{name.ljust(width)}  {value}" for name, value in shown.items())


def mark(ok: bool | None, stream: TextIO | None = None) -> str:
    """✓, ✗, or a question mark for what was not looked at; in ASCII where the stream has no more."""
    sign, plain, colour = {True: ("✓", "ok", "green"), False: ("✗", "!!", "red"), None: ("?", "??", "yellow")}[ok]
    out = stream or sys.stdout
    return paint(sign if can_write(sign, out) else plain, colour, out)


def can_write(text: str, stream: TextIO) -> bool:
    """Whether the stream's encoding has these characters."""
    try:
        text.encode(stream.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def paint(text: str, colour: str, stream: TextIO, *, bold: bool = False) -> str:
    """`text` in colour, on a terminal whose user has not asked for none (https://no-color.org)."""
    if not is_terminal(stream) or os.environ.get("NO_COLOR"):
        return text
    return click.style(text, fg=colour or None, bold=bold)


def is_terminal(stream: TextIO) -> bool:
    """Whether somebody watches a screen that can move its cursor."""
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def bar(done: int, total: int, stream: TextIO) -> str:
    """A bar of fixed width, with figures."""
    full, empty = ("█", "░") if can_write("█░", stream) else ("#", ".")
    filled = BAR_WIDTH if total <= 0 else min(BAR_WIDTH * done // total, BAR_WIDTH)
    return f"{full * filled}{empty * (BAR_WIDTH - filled)} {done}/{total}"


class LiveLine:
    """One line of a terminal that is written over again and again. Without a terminal it says nothing."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._is_live = is_terminal(stream)
        self._shown = ""

    def update(self, text: str) -> None:
        """Shows `text` in place of what the line showed, cut to the terminal's width."""
        cut = text[: shutil.get_terminal_size().columns - 1]
        if self._is_live and cut != self._shown:
            self._write(_ERASE_LINE + cut)
            self._shown = cut

    def clear(self) -> None:
        """Leaves the line empty, for whoever writes next."""
        if self._is_live and self._shown:
            self._write(_ERASE_LINE)
            self._shown = ""

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()


class BarObserver(QuietObserver):
    """Shows progress as a bar, on a terminal, and no trouble: the command's answer tells of that."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self._line = LiveLine(stream)
        self._stream = stream

    def progress(self, what: str, *, done: int, total: int) -> None:
        """Moves the bar."""
        self._line.update(f"{bar(done, total, self._stream)} {what}")

    def clear(self) -> None:
        """Takes the bar away, for whoever writes next."""
        self._line.clear()


def _cell(value: object) -> str:
    return "-" if value is None or value == "" else str(value)
