"""The end of a story: what is still to come, and what has to hold when nothing is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final, TypeAlias, cast

import attrs

from custody_core import Custody
from custody_core.domain.transaction import Transaction
from tests.unit.simulation.block_tree import BlockTree, Past
from tests.unit.simulation.desk import Desk
from tests.unit.simulation.failures import NotLive, require
from tests.unit.simulation.invariants import Invariants
from tests.unit.simulation.journal import JournalStore
from tests.unit.simulation.requests import Intent

NO_SUCH_BLOCK: Final = "the node does not say what"

Paid: TypeAlias = tuple[str, bytes, bytes, int]
"""An asset in lower case, from, to, amount."""


def what_is_left(store: JournalStore, desk: Desk, tree: BlockTree) -> str:
    """What is not at its end yet, or nothing."""
    tables = store.tables
    (state,) = list(tables.chains)
    left = [f"{each.id} is {each.state}" for each in tables.unsettled]
    left += [f"{each.id} is {each.state}" for each in tables.confirming_deposits]
    left += [f"the cursor is at {state.cursor.number} of {tree.head.number}"] if state.cursor.number < tree.head.number - 8 else []
    left += [f"halted: {state.halted_reason}"] if state.halted_reason else []
    left += _unanswered(store, desk)
    return "; ".join(left)


def _unanswered(store: JournalStore, desk: Desk) -> list[str]:
    """What a chain has nothing to do with."""
    left = [f"{len(store.tables.unsealed_audit.rows)} audit rows are not sealed"] if store.tables.unsealed_audit.rows else []
    return left + ([f"{desk.unanswered} requests are not answered"] if desk.unanswered else [])


@attrs.frozen
class Ending:
    """Judges the books as they are in the end, and what people got."""

    store: JournalStore
    desk: Desk
    tree: BlockTree
    invariants: Invariants

    def require_the_end(self, custody: Custody) -> None:
        """Every verdict is good, nothing is in suspense, and what was wanted came about, once.

        A wallet whose key somebody else used may be short. Of tokens that do not move as they say anything may be in suspense.
        """
        self._require_verdicts(custody)
        oracle, managed = self.invariants.scene.oracle, self.invariants.scene.managed
        used_elsewhere = {managed[sender] for sender, _ in oracle.foreign.values()}
        for each in custody.suspense.list():
            is_forgiven = each.wallet.id in used_elsewhere or each.asset.key.lower() in oracle.odd
            require(is_forgiven, "INV-1", f"something is in suspense: {each.amount} {each.asset.key} of {each.wallet.id}")
        self._require_wishes()
        self._require_owners()
        self._require_paid()
        self._require_recipients(self.tree, is_whole=True)

    def require_the_end_of_a_halted_chain(self, custody: Custody) -> None:
        """What has to hold where finality is broken for good: nobody was paid twice for one wish on any branch, and the books are
        those of the branch on which their final block was final.
        """
        if left := "; ".join(_unanswered(self.store, self.desk)):
            raise NotLive(f"the chain is halted: {left}")
        self._require_verdicts(custody, cut_off=True)
        self._require_wishes()
        self._require_owners()
        self._require_paid()
        branches: list[BlockTree | Past] = [self.tree, *self.tree.pasts]
        for branch in branches:
            self._require_recipients(branch, is_whole=False)

    def _require_verdicts(self, custody: Custody, *, cut_off: bool = False) -> None:
        """`cut_off`: no node has the books' final block any more, so none says what wallets held there."""
        found = {check.id: check.violations for check in custody.reconcile().checks if not check.ok}
        verdicts = {id_: [each for each in of_it if not (cut_off and NO_SUCH_BLOCK in each)] for id_, of_it in found.items()}
        verdicts = {id_: of_it for id_, of_it in verdicts.items() if of_it}
        require(not verdicts, "reconcile", str(verdicts))
        require(custody.audit.verify().first_broken is None, "INV-18", "the audit chain is broken")

    def _require_wishes(self) -> None:
        """INV-8: each send is one wish, and the wish that it says."""
        wishes: dict[str, Intent] = {}
        for intent in self.desk.intents.values():
            if intent.id is not None:
                other = wishes.setdefault(intent.id, intent)
                require(other is intent, "INV-8", f"{intent.id} is the answer to {other.key} and to {intent.key}")
        for row in self.store.tables.transactions:
            wish = wishes.pop(row.id, None)
            # What was asked for by mistake is kept where the policy refused it.
            is_wished = wish is not None or str(row.state) == "rejected"
            require(is_wished, "INV-8", f"nobody wished for {row.id}: {row.amount} {row.asset.alias} to {row.to}")
            require(wish is None or _is_of(row, wish), "INV-8", f"{row.id} is not what was wished for: {wish}")
        require(not wishes, "INV-8", f"what was answered is not there: {list(wishes)}")

    def _require_owners(self) -> None:
        """INV-24: each wallet is of whoever asked for it, also by name; and nobody but its owner had a send cancelled."""
        tables, owners = self.store.tables, self.desk.owners
        for wallet in tables.wallets:
            user = tables.users.get(wallet.owner_id or "")
            asked = owners.get(wallet.id)
            require(asked is None or (user and user.subject == asked), "INV-24", f"{wallet.id} was made for {asked}")
        for intent in self.desk.intents.values():
            row = tables.transactions.get(intent.id or "")
            is_cancelled = row is not None and str(row.state) == "cancelled"
            require(not is_cancelled or intent.is_to_be_cancelled, "INV-16", f"nobody asked to cancel {intent.id}")

    def _require_paid(self) -> None:
        """INV-7: what wallets paid in final blocks is what completed sends say, wherever it went: also to each other."""
        scene, completed = self.invariants.scene, Counter[Paid]()
        for row in self.store.tables.transactions:
            if str(row.state) == "completed" and row.amount:
                paid = (row.asset.contract or "eth").lower(), bytes.fromhex(row.sender[2:]), bytes.fromhex(row.to[2:]), row.amount
                completed[paid] += 1
        scene.oracle.follow(scene.final, scene.final_hash)
        found = Counter(movement[2:] for movement in scene.oracle.moved_by(scene.managed, up_to=scene.final))
        missing, besides = completed - found, found - completed
        require(not missing and not besides, "INV-7", f"completed and not paid: {missing}; paid besides: {besides}")

    def _require_recipients(self, branch: BlockTree | Past, *, is_whole: bool) -> None:
        """INV-7: each recipient outside has what was sent to it, once; where not `is_whole`, once or not at all."""
        managed = {wallet.address for wallet in self.desk.wallets.values()}
        for intent in self.desk.intents.values():
            if intent.to in managed or intent.data is not None:
                continue
            token = None if intent.asset == "eth" else bytes.fromhex(self.desk.token_address[2:])
            paid = branch.held(token, bytes.fromhex(intent.to[2:]), branch.newest)
            state = str(self.store.tables.transactions.rows[intent.id].state) if intent.id else "never asked for"
            expected = {intent.amount} if state == "completed" else {0}
            if not is_whole and intent.id:
                expected = {0, intent.amount}
            require(paid in expected, "INV-7", f"{intent.key} is {state}, and {intent.to} got {paid} of {intent.amount}")


def _is_of(row: Transaction, intent: Intent) -> bool:
    """Whether that send is what was wished for."""
    listed = tuple(
        (_raw(each["address"]), tuple(_raw(key) for key in cast("Sequence[str]", each["storageKeys"])))
        for each in intent.access_list
    )
    asked = intent.wallet.id, intent.to, intent.amount, intent.asset, intent.data or b"", listed, intent.external_id
    made = row.wallet_id, row.to, row.amount, row.asset.alias, row.data, row.access_list, row.external_id
    return asked == made and (intent.data is not None or intent.cap_wei in {None, row.fee_per_gas_max_wei})


def _raw(text: object) -> bytes:
    return bytes.fromhex(str(text)[2:])
