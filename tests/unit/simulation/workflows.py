"""The golden workflows that move money, each from its first call to the quiet after it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from custody_core import Custody, InvalidStateTransition, TransactionState
from custody_core.domain.transaction import AttemptKind
from custody_core.errors import Conflict
from tests.unit.simulation.desk import APPROVE, recipient_word
from tests.unit.simulation.rehearsal import FINALITY_LAG, FRIEND, Rehearsal

Workflow = Callable[[Rehearsal], None]

ETHER: Final = 10**18


def send_ether(on: Rehearsal) -> None:
    on.fund()
    on.arm()
    on.send()


def send_token(on: Rehearsal) -> None:
    on.fund(tokens=500)
    on.arm()
    on.send(asset="usdc", amount=120)


def contract_call(on: Rehearsal) -> None:
    on.fund()
    on.arm()
    on.send(to=on.token, amount=None, data=APPROVE + recipient_word(FRIEND) + (7).to_bytes(32, "big"), value=0)


def bump(on: Rehearsal) -> None:
    on.fund()
    on.arm()
    on.send()
    on.rounds(2)
    on.market(2)
    on.tree.mine_nothing()
    on.rounds(4, seconds=40)


def cancel_after_nonce(on: Rehearsal) -> None:
    on.fund()
    on.arm()
    sent = on.send()
    on.until(lambda: on.transaction(sent).nonce is not None)
    on.ask(lambda custody: custody.transactions.cancel(sent))
    on.until(lambda: _is_cancelling(on, sent))


def cancel_before_nonce(on: Rehearsal) -> None:
    on.fund()
    on.arm()
    sent = on.send()
    on.ask(lambda custody: custody.transactions.cancel(sent))


def deposit(on: Rehearsal) -> None:
    on.arm()
    on.tree.send_ether(on.wallet.address, ETHER)


def token_deposit(on: Rehearsal) -> None:
    on.arm()
    on.tree.send_token(on.token, on.wallet.address, 77)


def internal_deposit(on: Rehearsal) -> None:
    on.arm()
    on.tree.send_ether(on.contract(on.wallet.address), ETHER)


def reorg_of_send(on: Rehearsal) -> None:
    on.fund()
    sent = on.send()
    on.rounds(2)
    on.blocks(1)
    assert on.transaction(sent).state is TransactionState.CONFIRMING
    on.arm()
    on.tree.reorg(1, pooled=False)
    on.until(lambda: on.transaction(sent).state is TransactionState.BROADCASTING)


def reorg_of_deposit(on: Rehearsal) -> None:
    on.tree.send_ether(on.wallet.address, ETHER)
    on.blocks(1)
    on.arm()
    on.tree.reorg(1)
    on.rounds(2)


def quarantine_and_release(on: Rehearsal) -> None:
    on.arm()
    on.tree.send_ether(on.wallet.address, 5)
    on.blocks(FINALITY_LAG + 1)
    on.until(lambda: any(str(each.state) == "quarantined" for each in on.store.tables.deposits))
    (quarantined,) = list(on.store.tables.deposits)

    def release() -> None:
        if str(on.store.tables.deposits.rows[quarantined.id].state) == "quarantined":
            on.custody.transactions.release(quarantined.id, note="looked at")

    on.ask(lambda _: release())


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


def rescan(on: Rehearsal) -> None:
    """A token that was paid before anybody listed it."""
    other = on.tree.deploy_token()
    on.tree.send_token(other, on.wallet.address, 33)
    on.blocks(FINALITY_LAG + 1)
    on.arm()
    on.ask(lambda custody: custody.tokens.add(chain_id=on.tree.chain_id, address=other, alias="late", decimals=6))

    def rescan_in_turn(custody: Custody) -> None:
        try:
            custody.scans.rescan(1, on.tree.final)
        except InvalidStateTransition:
            # Whoever died while it read blocks again still has the lease.
            raise Conflict("the operator tries again later") from None

    on.ask(rescan_in_turn)


def _is_cancelling(on: Rehearsal, sent: str) -> bool:
    transaction = on.transaction(sent)
    newest = transaction.newest_attempt
    is_sent = newest is not None and newest.kind is AttemptKind.CANCELLATION and newest.first_sent_at is not None
    return transaction.is_final or is_sent


WORKFLOWS: Final[Mapping[str, Workflow]] = {
    each.__name__: each
    for each in (
        send_ether,
        send_token,
        bump,
        cancel_after_nonce,
        cancel_before_nonce,
        contract_call,
        deposit,
        token_deposit,
        internal_deposit,
        reorg_of_send,
        reorg_of_deposit,
        quarantine_and_release,
        restored_backup,
        rescan,
    )
}
