"""Checking the promises on the running system: the books against themselves, the rows against the books, the books against the
chain.

The books are read in one moment of the store. The chain is compared a few wallets at a time, each time at the block that is final
then (`comparing.py`); what it has more than the books is put into suspense, so this writes. The verdicts are kept, for those who
ask for the latest.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

import attrs

from custody_core.domain.chain import BlockRef
from custody_core.domain.resources import Resource, block_resource, chain_text, time_text
from custody_core.errors import NotFound
from custody_core.ports import Unit
from custody_core.services.comparing import compare_after, listed_tokens
from custody_core.services.kit import Kit
from custody_core.services.sealing import Audit
from custody_core.services.verdicts import ledger, records, sends
from custody_core.services.verdicts.verdict import Check, Progress, Verdicts

_REQUESTS_AT_A_TIME = 10

LATEST = "reconcile:latest"
"""Where the newest verdicts are kept."""


@attrs.frozen
class Reconciliation:
    """All verdicts, and the final block of each chain at which, or after which, the books were compared."""

    checks: tuple[Check, ...]
    blocks: Mapping[int, BlockRef]

    @property
    def ok(self) -> bool:
        """Whether every check holds."""
        return all(check.ok for check in self.checks)


def reconcile(kit: Kit, *, held_only: bool = False) -> Reconciliation:
    """Runs every check, and keeps the verdicts. Each wallet is compared with the chain in ether and in every listed token, or,
    `held_only`, in those tokens that it has in the books: which is faster, and finds no transfer to a wallet that has none yet.
    """
    began_at, verdicts = kit.clock.now(), Verdicts()
    blocks = kit.read(lambda unit: {state.chain_id: state.final for state in unit.chains()})
    for chain_id in blocks:
        _compare(kit, verdicts, chain_id, held_only=held_only)
    kit.read(lambda unit: _check_rows(kit, unit, verdicts))
    broken = Audit(kit).verify().first_broken
    if broken is not None:
        verdicts.add("INV-18", [f"audit row {broken} does not follow from the one before it"])
    found = Reconciliation(verdicts.checks(), blocks)
    kept = {**reconciliation_resource(found), "began_at": time_text(began_at), "ended_at": time_text(kit.clock.now())}
    kit.write(lambda unit: unit.put_setting(LATEST, json.dumps(kept).encode()))
    return found


def latest(kit: Kit) -> Resource:
    """The verdicts of the last run, with its times. Raises `NotFound` before there was one."""
    kept = kit.read(lambda unit: unit.setting(LATEST))
    if kept is None:
        raise NotFound("nothing was reconciled yet; `custody reconcile` does it")
    answer: Resource = json.loads(kept)
    return answer


def reconciliation_resource(found: Reconciliation) -> Resource:
    """The verdicts. `block` is the final block at which the books were compared; by chain id where there are several chains."""
    blocks = {chain_text(chain_id): block_resource(block) for chain_id, block in found.blocks.items()}
    return {
        "ok": found.ok,
        "block": next(iter(blocks.values())) if len(blocks) == 1 else blocks,
        "checks": [{"id": check.id, "ok": check.ok, "violations": list(check.violations)} for check in found.checks],
    }


def _compare(kit: Kit, verdicts: Verdicts, chain_id: int, *, held_only: bool) -> None:
    chain = kit.chains.get(chain_id)
    if chain is None:
        verdicts.add("INV-1", [f"{chain_text(chain_id)} is in the books but no node is configured for it"])
        return
    wallets = kit.read(lambda unit: unit.row_counts()).wallets
    tokens = [] if held_only else kit.read(lambda unit: listed_tokens(unit, chain_id))
    progress, last = Progress(kit.observer, f"wallets against {chain_text(chain_id)}", wallets), ""
    while (found := compare_after(kit, chain, last, tokens=tokens, requests=_REQUESTS_AT_A_TIME)) is not None:
        verdicts.add("INV-1", found.violations)
        progress.add(found.wallets)
        last = found.last_wallet_id
        if found.is_last:
            return


def _check_rows(kit: Kit, unit: Unit, verdicts: Verdicts) -> None:
    """All that is checked without the chain, in one moment of the store."""
    states, counts = unit.chains(), unit.row_counts()
    finals = {state.chain_id: state.final for state in states}
    progress = Progress(kit.observer, "books", ledger.rows_of(counts) + counts.transactions + counts.wallets)
    ledger.check_groups(unit, verdicts, progress, finals)
    ledger.check_accounts(unit, verdicts, progress)
    ledger.check_deposits(unit, verdicts, progress, finals)
    sends.check_transactions(unit, verdicts, progress, finals)
    sends.check_nonces(unit, verdicts, finals)
    records.check_keys(unit, verdicts, progress, states[0].chain_id if states else 0)
    records.check_idempotency(unit, verdicts)
    records.check_policies(unit, verdicts)
    records.check_headers(unit, verdicts, states)
