"""The list of branches that no story takes names lines that are there."""

from __future__ import annotations

import pytest

from tests.unit.simulation.modules import MONEY
from tests.unit.simulation.unreached import UNREACHED, Unreached, Why, line_of


@pytest.mark.parametrize("unreached", UNREACHED, ids=lambda each: f"{each.module}: {each.text}")
def test_each_line_is_there_once_and_refuses(unreached: Unreached) -> None:
    assert line_of(unreached) > 0
    assert unreached.module in MONEY
    assert unreached.why is Why.LATER or unreached.text.startswith(("raise ", "case _:"))


def test_a_line_that_is_no_more_is_told() -> None:
    with pytest.raises(LookupError):
        line_of(Unreached("domain/fees", "raise NothingLikeIt()", Why.GUARD, "it never was"))
