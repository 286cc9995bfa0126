"""Workflows of those who run the service."""

from __future__ import annotations

from custody_core import Custody
from custody_core.errors import WalletFrozen
from custody_memory.execution import Passing
from tests.unit.simulation.operators import POLICY, in_turn
from tests.unit.simulation.rehearsal import FINALITY_LAG, Rehearsal


def wallet_made(on: Rehearsal) -> None:
    on.arm()
    wallet = on.ask(lambda custody: custody.wallets.create(owner="bob", idempotency_key="another"))
    on.tree.send_ether(wallet.address, 10**18)


def frozen_and_unfrozen(on: Rehearsal) -> None:
    """What was asked for before waits meanwhile."""
    on.fund()
    on.arm()
    on.send()
    on.ask(lambda custody: custody.wallets.freeze(on.wallet.id, reason="looked at"))
    on.rounds(3)
    on.unfreeze()


def frozen_while_it_was_signed(on: Rehearsal) -> None:
    """The signature is made and not kept: nothing leaves before the wallet is open again."""
    on.fund()
    sent = on.send()
    on.arm()
    on.meanwhile("sign", lambda custody: custody.wallets.freeze(on.wallet.id, reason="looked at"))
    on.until(lambda: on.transaction(sent).parked_reason == WalletFrozen.code)
    assert not on.tree.pool
    assert on.transaction(sent).hash is None
    on.unfreeze()


def policy_withdrawn(on: Rehearsal) -> None:
    """What was accepted under the policy before is refused by the one in force."""
    on.fund()
    early = on.send("early")
    on.arm()
    on.ask(lambda custody: custody.policies.publish({**POLICY, "rules": POLICY["rules"][1:]}))
    on.until(lambda: on.transaction(early).is_final)
    on.ask(lambda custody: custody.policies.publish(POLICY))
    on.send("late")


def owner_disabled(on: Rehearsal) -> None:
    on.fund()
    early = on.send("early")
    owner = on.wallet.owner_id or ""
    on.arm()
    on.ask(lambda custody: custody.users.disable(owner))
    on.until(lambda: on.transaction(early).is_final)
    on.ask(lambda custody: custody.users.enable(owner))
    on.send("late")


def handed_over(on: Rehearsal) -> None:
    """One process stops as it should, another one takes over."""
    on.fund()
    on.arm()
    on.send()
    on.rounds()
    for _ in range(2):
        on.ask(lambda custody: custody.step_down())
    on.hand_over()


def restored_backup(on: Rehearsal) -> None:
    """The attempt that is mined was signed after the backup."""
    on.fund()
    sent = on.send()
    on.rounds(2)
    backup = on.backup()
    on.custody.transactions.speed_up(sent)
    on.rounds(3)
    assert len(on.transaction(sent).attempts) == 2
    on.tree.mine()
    on.restart_from(backup)
    on.arm()


def restored_backup_of_deposits(on: Rehearsal) -> None:
    """What arrived after the backup is found again."""
    backup = on.backup()
    on.fund()
    on.restart_from(backup)
    on.arm()
    on.rounds(3)


def token_listed_late(on: Rehearsal) -> None:
    """A token that was paid before anybody listed it."""
    other = on.tree.deploy_token()
    on.tree.send_token(other, on.wallet.address, 33)
    on.blocks(FINALITY_LAG + 1)
    on.counts(other)
    on.arm()
    on.ask(lambda custody: custody.tokens.add(chain_id=on.tree.chain_id, address=other, alias="late", decimals=6))
    on.ask(in_turn(lambda custody: custody.scans.rescan(1, on.tree.final)))


def transaction_looked_at_again(on: Rehearsal) -> None:
    other = on.tree.deploy_token()
    hash_ = on.tree.send_token(other, on.wallet.address, 33)
    on.blocks(FINALITY_LAG + 1)
    on.counts(other)
    on.custody.tokens.add(chain_id=on.tree.chain_id, address=other, alias="late", decimals=6)
    on.arm()
    on.ask(in_turn(lambda custody: custody.scans.rescan_hash(hash_)))


def forced_ether_booked(on: Rehearsal) -> None:
    """Ether that no call shows is found by comparing, and given to its wallet by an operator."""
    on.tree.send_ether(on.tree.deploy_passing(on.wallet.address, Passing.SELF_DESTRUCT), 10**18)
    on.blocks(FINALITY_LAG + 1)
    on.arm()
    while not on.ask(lambda custody: custody.suspense.count()):
        on.ask(lambda custody: custody.reconcile())
    on.ask(_book)


def deposit_after_forced_ether_was_booked(on: Rehearsal) -> None:
    """What arrives later has nothing to do with it, and is its owner's at once."""
    forced_ether_booked(on)
    on.fund()


def _book(custody: Custody) -> None:
    for each in custody.suspense.list():
        custody.suspense.book(each.wallet.id, asset=each.asset.key, amount=each.amount, note="looked at")
