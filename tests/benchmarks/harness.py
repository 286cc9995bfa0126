"""How a benchmark is measured and told.

Rules of this file

1. Ours, the peers and the limit take turns in every round of one run: a machine that slows down slows all of them down.
2. A number is the median over the rounds; a ratio is the median of the rounds' own ratios. The first round is thrown away.
3. Progress goes to stderr; stdout has one JSON line per benchmark and nothing else.
"""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import attrs

Rounds = Mapping[str, Sequence[float]]
"""Variant → its figure in each round."""


def progress(text: str) -> None:
    """One line for whoever watches."""
    sys.stderr.write(f"bench: {text}\n")
    sys.stderr.flush()


def interleaved(benchmark_id: str, variants: Mapping[str, Callable[[], float]], *, rounds: int) -> Rounds:
    """Measures every variant once per round, every second round in reverse order."""
    measured: dict[str, list[float]] = {name: [] for name in variants}
    for index in range(rounds + 1):
        names = list(variants)[:: 1 if index % 2 else -1]
        figures = {name: variants[name]() for name in names}
        progress(f"{benchmark_id} round {index}/{rounds} " + " ".join(f"{name}={figures[name]:.4g}" for name in variants))
        if index:
            for name in names:
                measured[name].append(figures[name])
    return measured


def median(rounds: Rounds, name: str) -> float:
    return rounded(statistics.median(rounds[name]))


def ratio(rounds: Rounds, numerator: str, denominator: str) -> float:
    """The median of the rounds' ratios."""
    pairs = zip(rounds[numerator], rounds[denominator], strict=True)
    return rounded(statistics.median(above / below for above, below in pairs))


def spread(rounds: Rounds, numerator: str, denominator: str) -> str:
    """The smallest and the largest of the rounds' ratios: how far the median may be trusted."""
    ratios = [above / below for above, below in zip(rounds[numerator], rounds[denominator], strict=True)]
    return f"{rounded(min(ratios)):g} to {rounded(max(ratios)):g}"


def rounded(figure: float) -> float:
    """Four digits: more would claim more than a shared machine can tell."""
    return float(f"{figure:.4g}")


@attrs.frozen
class Result:
    """What one benchmark came to.

    `ratio_to_peer` says how many times better than the peer we are, whichever way the unit counts; `ratio_to_limit` is ours
    divided by the limit; None where there is no peer, or nothing is known to be the limit. `runs` are the rounds that count. `more`
    holds further figures by name.
    """

    id: str
    name: str
    ours: float
    peer: float | None
    limit: float | None
    ratio_to_peer: float | None
    ratio_to_limit: float | None
    unit: str
    runs: int
    more: Mapping[str, float | str] = attrs.field(factory=dict)

    def record(self) -> dict[str, Any]:
        """The result as JSON holds it, `more` beside the rest."""
        return {**attrs.asdict(self, filter=lambda field, _: field.name != "more"), **self.more}

    def line(self) -> str:
        return json.dumps(self.record(), ensure_ascii=False)
