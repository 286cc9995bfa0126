"""The end of a story: what is still to come, and what has to hold when nothing is."""

from __future__ import annotations

from collections.abc import Collection

from custody_core import Custody
from tests.unit.simulation.block_tree import BlockTree
from tests.unit.simulation.desk import Desk
from tests.unit.simulation.failures import require
from tests.unit.simulation.journal import JournalStore


def what_is_left(store: JournalStore, desk: Desk, tree: BlockTree) -> str:
    """What is not at its end yet, or nothing."""
    tables = store.tables
    (state,) = list(tables.chains)
    left = [f"{each.id} is {each.state}" for each in tables.unsettled]
    left += [f"{each.id} is {each.state}" for each in tables.confirming_deposits]
    left += [f"the cursor is at {state.cursor.number} of {tree.head.number}"] if state.cursor.number < tree.head.number - 8 else []
    left += [f"halted: {state.halted_reason}"] if state.halted_reason else []
    left += [f"{len(tables.unsealed_audit.rows)} audit rows are not sealed"] if tables.unsealed_audit.rows else []
    left += [f"{desk.unanswered} requests are not answered"] if desk.unanswered else []
    return "; ".join(left)


def require_the_end(custody: Custody, desk: Desk, tree: BlockTree, *, is_whole: bool, odd: Collection[str]) -> None:
    """Every verdict is good, nothing is in suspense, and each recipient has what was sent to it, once.

    `is_whole`: nobody else used a key of ours, which may leave a wallet short. Of `odd` tokens anything may be in suspense.
    """
    verdicts = {check.id: check.violations for check in custody.reconcile().checks if not check.ok}
    require(not verdicts, "reconcile", str(verdicts))
    unexplained = [each for each in custody.suspense.list() if each.asset.key.lower() not in odd]
    require(not is_whole or not unexplained, "INV-1", "something is in suspense")
    require(custody.audit.verify().first_broken is None, "INV-18", "the audit chain is broken")
    managed = {wallet.address for wallet in desk.wallets.values()}
    for intent in desk.intents.values():
        if intent.to in managed or intent.data is not None:
            continue
        token = None if intent.asset == "eth" else bytes.fromhex(desk.token_address[2:])
        paid = tree.held(token, bytes.fromhex(intent.to[2:]), tree.head.number)
        state = str(custody.transactions.get(intent.id).state) if intent.id else "never asked for"
        expected = intent.amount if state == "completed" else 0
        require(paid == expected, "INV-7", f"{intent.key} is {state}, and {intent.to} got {paid} of {intent.amount}")
