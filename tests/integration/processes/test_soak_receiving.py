"""A short run of the long one: deposits among look-alikes, under kills, reorganisations and a node that lies."""

import pytest

from tests.soak import receiving

DEPOSITS = 30
SEED = 30


@pytest.mark.parametrize("liar_is_first", [True, False], ids=["liar first", "liar second"])
def test_each_deposit_is_credited_once_among_lookalikes(anvil: object, *, liar_is_first: bool) -> None:
    """The run itself compares deposits, ledger, balances and events with the chain, and reconciles."""
    del anvil
    figures = receiving.run(SEED, deposits=DEPOSITS, wallets=5, liar_is_first=liar_is_first, block_time_s=0.4)
    assert figures.deposits >= DEPOSITS
    assert figures.lookalikes >= DEPOSITS * receiving.LOOKALIKES_PER_DEPOSIT
    assert figures.quarantined
