"""Workflows of deposits."""

from __future__ import annotations

from typing import Final

from custody_memory.execution import Passing
from tests.unit.simulation.rehearsal import FINALITY_LAG, Rehearsal

ETHER: Final = 10**18
DUST: Final = 5


def deposit(on: Rehearsal) -> None:
    on.arm()
    on.tree.send_ether(on.wallet.address, ETHER)


def token_deposit(on: Rehearsal) -> None:
    on.arm()
    on.tree.send_token(on.token, on.wallet.address, 77)


def internal_deposit(on: Rehearsal) -> None:
    on.arm()
    on.tree.send_ether(on.contract(on.wallet.address), ETHER)


def equal_internal_deposits(on: Rehearsal) -> None:
    """One transaction pays the same twice."""
    on.arm()
    on.tree.send_ether(on.tree.deploy_passing(on.wallet.address, parts=2), ETHER)


def several_deposits_in_a_block(on: Rehearsal) -> None:
    other = on.custody.wallets.create(owner="bob", idempotency_key="other-wallet")
    on.arm()
    for address in (on.wallet.address, other.address, on.wallet.address):
        on.tree.send_ether(address, ETHER)
    on.tree.send_token(on.token, other.address, 77)


def payment_in_vain(on: Rehearsal) -> None:
    """A transaction that fails, beside a deposit of the same amount."""
    on.arm()
    on.tree.send_in_vain(on.wallet.address, ETHER)
    on.tree.send_ether(on.wallet.address, ETHER)


def inner_call_that_reverts(on: Rehearsal) -> None:
    on.arm()
    on.tree.send_ether(on.tree.deploy_passing(on.wallet.address, Passing.REVERTED), ETHER)


def missed_blocks(on: Rehearsal) -> None:
    """Nobody looked for a while."""
    on.arm()
    for _ in range(9):
        on.tree.send_ether(on.wallet.address, ETHER)
        on.tree.mine()


def reorg_of_deposit(on: Rehearsal) -> None:
    on.tree.send_ether(on.wallet.address, ETHER)
    on.blocks(1)
    on.arm()
    on.tree.reorg(1)
    on.rounds(2)


def reorg_of_token_deposit(on: Rehearsal) -> None:
    on.tree.send_token(on.token, on.wallet.address, 77)
    on.blocks(1)
    on.arm()
    on.tree.reorg(1)
    on.rounds(2)


def reorg_without_its_deposit(on: Rehearsal) -> None:
    """The deposit is gone for good."""
    on.tree.send_ether(on.wallet.address, ETHER)
    on.blocks(1)
    on.arm()
    on.tree.reorg(1, pooled=False)
    on.rounds(2)


def quarantine_and_release(on: Rehearsal) -> None:
    on.arm()
    on.tree.send_ether(on.wallet.address, DUST)
    _release(on)


def quarantine_and_release_of_tokens(on: Rehearsal) -> None:
    (token,) = on.custody.tokens.list()
    on.custody.tokens.set_dust(token.id, 10)
    on.arm()
    on.tree.send_token(on.token, on.wallet.address, DUST)
    _release(on)


def deposit_for_a_disabled_owner(on: Rehearsal) -> None:
    owner = on.wallet.owner_id or ""
    on.custody.users.disable(owner)
    on.arm()
    on.tree.send_ether(on.wallet.address, ETHER)
    _release(on)
    on.ask(lambda custody: custody.users.enable(owner))


def deposit_of_a_token_no_longer_listed(on: Rehearsal) -> None:
    (token,) = on.custody.tokens.list()
    on.tree.send_token(on.token, on.wallet.address, 77)
    on.blocks(1)
    on.arm()
    on.ask(lambda custody: custody.tokens.disable(token.id))
    _release(on)


def token_listed_while_a_block_is_read(on: Rehearsal) -> None:
    """It was matched against the tokens of before, so it is matched again."""
    other = on.tree.deploy_token()
    on.counts(other)
    on.tree.send_token(other, on.wallet.address, 33)
    on.tree.send_token(on.token, on.wallet.address, 44)
    on.tree.mine()
    on.arm()
    on.meanwhile("logs", lambda custody: custody.tokens.add(chain_id=on.tree.chain_id, address=other, alias="new", decimals=6))
    on.rounds()


def _release(on: Rehearsal) -> None:
    on.blocks(FINALITY_LAG + 1)
    on.until(lambda: any(str(each.state) == "quarantined" for each in on.store.tables.deposits))
    (quarantined,) = list(on.store.tables.deposits)
    on.release(quarantined.id)
