"""The figures of docs/reliability.md. Each command writes its own, between two marks, and leaves the rest of the page alone."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[4]
PAGE: Final = ROOT / "docs" / "reliability.md"
END: Final = "<!-- end -->"


def write(command: str, head: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Puts a table in the place of the one that the same command wrote before."""
    PAGE.write_text(with_table(PAGE.read_text("utf-8"), command, head, rows, _measured()), "utf-8")


def with_table(page: str, command: str, head: Sequence[str], rows: Iterable[Sequence[object]], measured: str) -> str:
    """The whole page with that table. Raises `ValueError` where it has no place for it."""
    begin = f"<!-- figures of {command} -->"
    before, found, rest = page.partition(begin)
    if not found or END not in rest:
        raise ValueError(f"the page has no place for the figures of {command}")
    lines = [_row(head), _row(["---"] * len(head)), *(_row([str(cell) for cell in row]) for row in rows)]
    return f"{before}{begin}\n" + "\n".join(lines) + f"\n\n{measured}\n{END}{rest.partition(END)[2]}"


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _measured() -> str:
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True)  # noqa: S607
    return f"Measured on {datetime.now(UTC):%Y-%m-%d} at {commit.stdout.strip()}, on {os.cpu_count()} cores."
