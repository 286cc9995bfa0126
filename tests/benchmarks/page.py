"""docs/benchmarks.md: the newest result of each benchmark, with its date and commit. The page keeps its own data, as JSON lines."""

from __future__ import annotations

import json
import platform
import re
import subprocess
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from tests.benchmarks import accepting, asking, depositing, holding, latency, reading, scanning, sends, signing, starting
from tests.benchmarks.environments import ROOT
from tests.benchmarks.harness import Result
from tests.benchmarks.shortfalls import SHORTFALLS

PAGE = ROOT / "docs" / "benchmarks.md"
GOALS = {
    "P1": "≥ 9x the peer; ≤ 1.35x the limit",
    "P2": "≥ 60x the peer, stretch 90x; ≤ 1x the limit",
    "P3": "≥ 50x the peer",
    "P4": "≤ 1.05x the limit",
    "P5": "≥ 30x the peer; ≥ 7x the peer with own nonces; ≥ 0.65x the limit",
    "P6": "≥ 0.25x the peer, stretch 0.5x; p99 ≤ 50 ms at half load",
    "P7": "≥ 0.7x the limit",
    "P8": "≥ 4x the peer; ≥ 0.33x the limit",
    "P9": "≥ 2.22x the peer (0.45 of its time); memory ≥ 1.43x the peer (0.7 of its own); scanner ≤ 250 ms, ≤ 45 MB",
    "P11": "≤ 250 ms; sends ≤ 100 ms at 500 a second, p99 both",
    "P12": "≤ 2 per send; ≤ 3 per followed block",
}
EXPLAINED = {
    "P1": signing.__doc__,
    "P2": scanning.__doc__,
    "P3": scanning.run_far.__doc__,
    "P4": holding.__doc__,
    "P5": sends.__doc__,
    "P6": accepting.__doc__,
    "P7": reading.__doc__,
    "P8": depositing.__doc__,
    "P9": starting.__doc__,
    "P11": latency.__doc__,
    "P12": asking.__doc__,
}
_DATA = re.compile(r"^```json\n(.*?)^```$", re.DOTALL | re.MULTILINE)

_HEAD = """# Benchmarks

Written by `make bench ARGS=--write`; `make bench ONLY=P1` measures one. Ours, the peers and the limit take turns within one run.
A figure is the median of the rounds, a ratio the median of the rounds' own ratios, so it need not be the quotient of the
figures beside it; beside each ratio stand the smallest and the largest of the rounds. Absolute figures depend on the machine and
on what else it does, and on a busy machine ratios do, too: a wide spread says how much.

| | What | Ours | Peer | Limit | Better than the peer | Ours / limit | Goal | Measured |
|---|---|---|---|---|---|---|---|---|
"""


def write(result: Result) -> None:
    """Puts `result` in the place of the one before."""
    before = PAGE.read_text("utf-8") if PAGE.exists() else ""
    PAGE.write_text(with_record(before, {**result.record(), **_circumstances()}), "utf-8")


def with_record(page: str, record: Mapping[str, Any]) -> str:
    """The whole page with `record` in it, beside what `page` holds of other benchmarks."""
    found = _DATA.search(page)
    kept = [json.loads(line) for line in found[1].splitlines()] if found else []
    records = sorted([*(each for each in kept if each["id"] != record["id"]), record], key=lambda each: int(each["id"][1:]))
    explained = [_section(each["id"]) for each in records]
    lines = "\n".join(json.dumps(each, ensure_ascii=False) for each in records)
    data = f"## All figures\n\n```json\n{lines}\n```\n"
    return _HEAD + "".join(_row(each) for each in records) + "\n" + "\n".join([*explained, data])


def _section(id_: str) -> str:
    """What a benchmark measures, and where it falls short of its goal why."""
    told = [f"## {id_}", _after_its_id(EXPLAINED.get(id_))]
    if id_ in SHORTFALLS:
        told.append(f"**Short of the goal.** {SHORTFALLS[id_]}")
    return "\n\n".join(told) + "\n"


def _row(record: Mapping[str, Any]) -> str:
    unit = record["unit"]
    cells: Sequence[str] = (
        record["id"],
        record["name"],
        *(_figure(record[name], unit) for name in ("ours", "peer", "limit")),
        _ratios(record, "peer", "x"),
        _ratios(record, "limit", ""),
        GOALS.get(record["id"], ""),
        f"{record['date']}, {record['commit']}",
    )
    return f"| {' | '.join(cells)} |\n"


def _figure(figure: float | None, unit: str) -> str:
    return "none" if figure is None else f"{figure:g} {unit}"


def _ratios(record: Mapping[str, Any], to: str, unit: str) -> str:
    """The ratio that the benchmark is about, the spread of its rounds, and every other ratio of that kind."""
    if record[f"ratio_to_{to}"] is None:
        return "none"
    prefix = f"ratio_to_{to}_"
    others = [f"{record[name]:g}{unit} {name.removeprefix('ratio_to_')}" for name in record if name.startswith(prefix)]
    rounds = [f"rounds {record[f'rounds_to_{to}']}"] if f"rounds_to_{to}" in record else []
    notes = "; ".join([*rounds, *others])
    return f"{record[f'ratio_to_{to}']:g}{unit}" + (f" ({notes})" if notes else "")


def _after_its_id(text: str | None) -> str:
    """A benchmark's own explanation, without the id that it begins with."""
    told = (text or "").partition(": ")[2].strip()
    return told[:1].upper() + told[1:]


def _circumstances() -> dict[str, str]:
    commit, changed = _git("rev-parse", "--short=10", "HEAD"), _git("status", "--porcelain", "--", "src")
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "commit": commit + (" with changes" if changed else ""),
        "python": platform.python_version(),
    }


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()  # noqa: S607
