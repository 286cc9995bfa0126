"""Telling stories in worker processes: what a seed came to, as a value."""

from __future__ import annotations

import attrs

from tests.unit.simulation.failures import Failure, NotDeterministic
from tests.unit.simulation.story import Story, Told

TWICE_EVERY = 50


@attrs.frozen
class Verdict:
    """What one seed came to: told, or failed."""

    seed: int
    told: Told | None
    exit_code: int = 0
    why: str = ""


def tell(seed: int, steps: int) -> Verdict:
    """Tells one story; some twice, to see that they are the same."""
    try:
        told = Story(seed, steps=steps).tell()
        if seed % TWICE_EVERY == 0 and Story(seed, steps=steps).tell().digest != told.digest:
            raise NotDeterministic("told twice, it was another story")
    except Failure as failure:
        return Verdict(seed, None, failure.exit_code, f"{failure.kind}: {failure}")
    return Verdict(seed, told)


def tell_asked(asked: tuple[int, int]) -> Verdict:
    """The same for (seed, steps)."""
    return tell(*asked)
