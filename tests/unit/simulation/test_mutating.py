"""What mutations are: each changes the source in one place, and the text of messages never."""

from __future__ import annotations

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
