"""Decisions, which are by the policy in force, and signatures: each is read from its bytes and has to be what was decided."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from custody_core.domain.policy import Decision
from custody_core.domain.transaction import Transaction
from custody_core.domain.wallet import SealedKey, Wallet
from custody_core.ports import SignedTransaction
from tests.unit.simulation.attempts import Signed, payment, read
from tests.unit.simulation.failures import require
from tests.unit.simulation.judges.books import Books
from tests.unit.simulation.judges.scene import Scene


class Signatures:
    """Judges what was signed by the rows that are committed then."""

    def __init__(self, scene: Scene, books: Books) -> None:
        self._scene = scene
        self._books = books
        self._covers: dict[str, tuple[str, int]] = {}
        """The sender and nonce that a decision was used for."""
        self._frozen_before: dict[str, set[str]] = defaultdict(set)
        """Attempts that were planned when their wallet was frozen, by wallet, until that is lifted."""

    def committed(self, before: Mapping[tuple[str, Any], Any]) -> None:
        """A unit is about to be committed; `before` holds the rows that it changes as they were."""
        tables = self._scene.tables
        for (table, key), old in before.items():
            if table == "wallets":
                self._scene.changed(table, key)
                if not _is_frozen(tables.wallets.rows[key]):
                    self._frozen_before.pop(key, None)
            elif table == "active_policies":
                self._scene.changed(table, "")
            elif table == "decisions":
                self._require_in_force(tables.decisions.rows[key])
            elif table == "transactions":
                new = tables.transactions.rows[key]
                wallet = tables.wallets.rows[new.wallet_id]
                self._require_not_kept(old, new, before.get(("wallets", wallet.id), wallet))
                if _is_frozen(wallet) and _is_frozen(before.get(("wallets", wallet.id), wallet)):
                    known = {attempt.id for attempt in old.attempts} if old else set()
                    self._frozen_before[wallet.id] |= {attempt.id for attempt in new.attempts} - known

    def require(self, key: SealedKey, signed: SignedTransaction) -> None:
        """INV-4, INV-12, INV-13, INV-15, INV-16, INV-19: the bytes are what one committed decision allows, and are paid for."""
        tables, said = self._scene.tables, read(signed.raw)
        sender = bytes.fromhex(key.address[2:])
        require(self._scene.managed.get(sender) == key.wallet_id, "INV-15", f"{key.wallet_id} signed for another")
        require(said.chain_id == self._scene.chain_id, "INV-13", f"{signed.hash} is for chain {said.chain_id}")
        id_ = tables.transaction_by_nonce.get((said.chain_id, key.address, said.nonce))
        require(id_ is not None, "INV-16", f"{signed.hash} has nonce {said.nonce} of {key.address}, which nothing has")
        send = tables.transactions.rows[id_ or ""]
        decision = tables.decisions.get(send.decision_id or "")
        require(decision is not None, "INV-16", f"{signed.hash} was signed without a committed decision")
        assert decision is not None
        self._require_decided(send, decision, said)
        if said.to == sender:
            self._require_cancellation(send, said)
        else:
            self._require_payment(send, decision, said)
            is_frozen = {attempt.id for attempt in send.attempts if attempt.raw is None} & self._frozen_before[send.wallet_id]
            require(not is_frozen, "INV-19", f"{send.wallet_id} is frozen and signed {is_frozen}, which was planned since")
        self._require_held(send, said)

    def _require_not_kept(self, old: Transaction | None, new: Transaction, wallet: Wallet) -> None:
        """INV-19: no bytes of a frozen wallet's payment are kept, so none leave. Restored books may find some on a chain."""
        if old is None or not _is_frozen(wallet) or self._scene.is_changing("wallets", wallet.id):
            return
        planned = {attempt.id for attempt in old.attempts if attempt.raw is None and str(attempt.kind) == "payment"}
        kept = {attempt.id for attempt in new.attempts if attempt.raw is not None} & planned
        require(not kept, "INV-19", f"{wallet.id} is frozen, and the bytes of {kept} were kept")

    def _require_in_force(self, decision: Decision) -> None:
        """INV-16: it is by every policy in force, and by no other; what was published while its unit was open may be either."""
        active = {policy.id: str(policy.layer) for policy in self._scene.tables.active_policies}
        named = set(decision.evaluation.policy_ids)
        in_force = named <= active.keys() and {id_ for id_, layer in active.items() if layer == "global"} <= named
        is_changing = self._scene.is_changing("active_policies", "") and named <= self._scene.tables.policies.rows.keys()
        require(in_force or is_changing, "INV-16", f"{decision.id} is by {sorted(named)}, in force: {sorted(active)}")

    def _require_decided(self, send: Transaction, decision: Decision, said: Signed) -> None:
        allows = str(decision.evaluation.verdict) == "allow" and decision.transaction_id == send.id
        require(allows, "INV-16", f"{decision.id} does not allow {send.id}")
        require(
            decision.nonce == send.nonce == said.nonce, "INV-16", f"{decision.id} is for nonce {decision.nonce}, not {said.nonce}"
        )
        covers = self._covers.setdefault(decision.id, (send.sender, said.nonce))
        require(covers == (send.sender, said.nonce), "INV-16", f"{decision.id} covers nonces {covers} and {said.nonce}")
        gas = decision.gas_limit, send.gas_limit
        require(
            gas == (said.gas_limit, said.gas_limit), "INV-16", f"{send.id} was signed with {said.gas_limit} gas, decided: {gas}"
        )

    def _require_payment(self, send: Transaction, decision: Decision, said: Signed) -> None:
        of = decision.evaluation.inputs
        signed = said.to, said.value, said.data, said.access_list
        decided = (*payment(of.contract, of.to, of.amount, of.data), of.access_list)
        accepted = (*payment(send.asset.contract, send.to, send.amount, send.data), send.access_list)
        require(
            signed == decided == accepted, "INV-16", f"{send.id} was signed as {signed}, decided: {decided}, accepted: {accepted}"
        )
        whose = of.wallet_id, of.sender
        require(whose == (send.wallet_id, send.sender), "INV-16", f"{decision.id} is about {whose}")
        cap_wei = min(decision.fee_per_gas_max_wei, send.fee_per_gas_max_wei)
        require(said.fee_max_wei <= cap_wei, "INV-12", f"{send.id} was signed for {said.fee_max_wei} per gas, decided: {cap_wei}")

    def _require_cancellation(self, send: Transaction, said: Signed) -> None:
        require(send.cancel_requested_at is not None, "INV-16", f"nobody asked to cancel {send.id}")
        moves = said.value, said.data, said.access_list
        require(moves == (0, b"", ()), "INV-16", f"the cancellation of {send.id} moves {moves}")

    def _require_held(self, send: Transaction, said: Signed) -> None:
        """What was signed of a send that has ended meanwhile is not kept, and so leaves never."""
        costs: dict[str, int] = defaultdict(int)
        costs["eth"] = said.value + said.gas_limit * said.fee_max_wei
        if send.asset.contract is not None and said.data:
            costs[send.asset.key] += int.from_bytes(said.data[-32:], "big")
        held = self._books.reserved(send.id)
        is_held = all(held.get(asset, 0) >= cost for asset, cost in costs.items())
        require(send.is_final or is_held, "INV-4", f"{send.id} was signed and may cost {dict(costs)}, and holds {held}")


def _is_frozen(wallet: Wallet | None) -> bool:
    return wallet is not None and str(wallet.state) == "frozen"
