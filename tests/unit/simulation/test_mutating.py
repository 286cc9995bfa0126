"""What mutations are: each changes the source in one place, and the text of messages never."""

from __future__ import annotations

import pytest

from tests.unit.simulation.covering import is_out_of_memory
from tests.unit.simulation.failures import Crashed
from tests.unit.simulation.harmless import HARMLESS, Harmless
from tests.unit.simulation.judging import CORE
from tests.unit.simulation.modules import MONEY
from tests.unit.simulation.mutating import mutated, mutations

SOURCE = '''
LIMIT: int | None = 7

def pay(amount: int, left: int = 0) -> int:
    """Words, 3 of them."""
    if amount < left and not amount == 1:
        raise ValueError(f"{amount + 1} is too much")
    book(amount)
    return left - amount
'''


def test_everything_that_runs_is_changed_once() -> None:
    told = [each.what for each in mutations(SOURCE)]
    texts = [mutated(SOURCE, each) for each in mutations(SOURCE)]
    assert len(set(texts)) == len(texts) == len(told)
    for changed in (
        "LIMIT: int | None = 8",
        "left: int=1",
        "if not (amount < left and ",
        "if amount < left or ",
        "if amount <= left and ",
        "if amount < left and amount == 1",
        "not amount != 1",
        "not amount == 2",
        "    pass\n",
        "return left + amount",
    ):
        assert sum(changed in text for text in texts) == 1, changed
    assert all("Words, 3 of them." in text and "{amount + 1} is too much" in text for text in texts)


def test_a_change_matters_where_its_statement_runs() -> None:
    """What a function says of its defaults and what a module says of its constants is known at import, before any test."""
    within = {each.what: each.within for each in mutations(SOURCE)}
    body = SOURCE.splitlines()
    assert within["7"] is None
    assert [body[line - 1].split()[0] for line in within["0"] or ()] == [
        "def",
        '"""Words,',
        "if",
        "raise",
        "book(amount)",
        "return",
    ]
    assert [body[line - 1].split()[0] for line in within["amount < left"] or ()] == ["if"]
    assert [body[line - 1].split()[0] for line in within["left - amount"] or ()] == ["return"]


def test_who_has_no_memory_left_has_seen_nothing() -> None:
    """However it is told in the end."""
    told, other = Crashed("send_ether: MemoryError"), Crashed("send_ether: KeyError")
    told.__cause__, other.__cause__ = MemoryError(), KeyError()
    wrapped = AssertionError()
    wrapped.__context__ = told
    assert is_out_of_memory(wrapped)
    assert not is_out_of_memory(other)


@pytest.mark.parametrize("harmless", HARMLESS, ids=lambda each: f"{each.module}: {each.what}"[:60])
def test_what_was_looked_at_is_still_there(harmless: Harmless) -> None:
    assert harmless.module in MONEY
    found = mutations((CORE / f"{harmless.module}.py").read_text("utf-8"))
    assert sum(harmless.names(harmless.module, each) for each in found) == harmless.places, "the core has changed: look again"
    assert harmless.why
