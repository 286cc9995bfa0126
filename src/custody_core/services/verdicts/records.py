"""Keys, policies in force, idempotency and headers: INV-8, 15, 17 and 20."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

from custody_core.domain.chain import ChainState, Header
from custody_core.domain.ids import IdPrefix, is_id
from custody_core.domain.policy import parse_document
from custody_core.domain.resources import chain_text
from custody_core.domain.wallet import SealedKey, Wallet
from custody_core.errors import ValidationFailed
from custody_core.ports import IdempotencyRecord, Unit
from custody_core.services import wallets
from custody_core.services.accepting import BATCH_ROUTE, ROUTE
from custody_core.services.idempotency import scope_of
from custody_core.services.verdicts.ledger import PAGE
from custody_core.services.verdicts.verdict import Progress, Verdicts

_HEADERS_PER_READ = 1_000


def check_idempotency(unit: Unit, verdicts: Verdicts) -> None:
    """Every key that was used for a wallet or a transaction. The key itself is unique by the table's primary key."""
    scope = key = ""
    while page := unit.idempotency_after(scope, key, limit=PAGE):
        scope, key = page[-1].scope, page[-1].key
        ids = [each.object_id for each in page]
        transactions = unit.transactions_by_id([id_ for id_ in ids if is_id(id_, IdPrefix.TRANSACTION)])
        given = unit.wallets_by_id([id_ for id_ in ids if is_id(id_, IdPrefix.WALLET)])
        owners: dict[str, str | None] = {id_: each.owner_id for id_, each in transactions.items()}
        owners |= {id_: each.owner_id for id_, each in given.items()}
        for each in page:
            verdicts.add("INV-8", _misused(each, owners))


def check_keys(unit: Unit, verdicts: Verdicts, progress: Progress, chain_id: int) -> None:
    """Every wallet's sealed key. It is not opened: who checks holds no master key."""
    last = ""
    while page := unit.wallet_totals(chain_id, after_wallet_id=last, limit=PAGE):
        last = page[-1][0].id
        keys = unit.sealed_keys([wallet.id for wallet, _ in page])
        for wallet, _ in page:
            verdicts.add("INV-15", _unbound(wallet, keys.get(wallet.id)))
        progress.add(len(page))


def check_policies(unit: Unit, verdicts: Verdicts) -> None:
    """What is in force now."""
    active = unit.active_policies()
    subjects = Counter((policy.layer, policy.subject) for policy in active)
    verdicts.add(
        "INV-17",
        (f"{count} policies are in force for {layer} {subject}" for (layer, subject), count in subjects.items() if count > 1),
    )
    for policy in active:
        try:
            parse_document(policy.document)
        except ValidationFailed as problem:
            verdicts.add("INV-17", [f"{policy.id} cannot be read, so it denies everything: {problem.detail}"])


def check_headers(unit: Unit, verdicts: Verdicts, states: Sequence[ChainState]) -> None:
    """Every stored header, from where following began to the cursor."""
    for state in states:
        before: Header | None = None
        for first in range(state.start.number, state.cursor.number + 1, _HEADERS_PER_READ):
            last = min(first + _HEADERS_PER_READ - 1, state.cursor.number)
            page = unit.headers(state.chain_id, first=first, last=last)
            verdicts.add("INV-20", _breaks(state.chain_id, [before, *page] if before else page))
            if len(page) != last - first + 1:
                name = chain_text(state.chain_id)
                verdicts.add("INV-20", [f"{name}: of blocks {first} to {last} we have {len(page)} headers"])
            before = page[-1] if page else before


def _breaks(chain_id: int, line: Sequence[Header]) -> Iterator[str]:
    for before, after in pairwise(line):
        if after.parent_hash != before.hash or after.number != before.number + 1:
            yield f"{chain_text(chain_id)}: block {after.number} does not follow from block {before.number}"


def _misused(record: IdempotencyRecord, owners: Mapping[str, str | None]) -> Iterator[str]:
    made = record.object_id
    if not is_id(made, IdPrefix.TRANSACTION) and not is_id(made, IdPrefix.WALLET):
        return
    if made not in owners:
        if record.scope.endswith((f" {ROUTE}", f" {BATCH_ROUTE}", f" {wallets.ROUTE}")):
            yield f"a key of {record.scope} names {made}, which is not there"
        return
    owner = owners[made] or ""
    for route in (ROUTE, BATCH_ROUTE, wallets.ROUTE):
        if record.scope.endswith(f" {route}") and record.scope != scope_of(owner, route):
            yield f"a key of {record.scope} names {made}, which is {owner}'s"


def _unbound(wallet: Wallet, key: SealedKey | None) -> Iterator[str]:
    if key is None:
        yield f"{wallet.id} has no key"
    elif (key.wallet_id, key.address) != (wallet.id, wallet.address):
        yield f"{wallet.id} {wallet.address} has the key of {key.wallet_id} {key.address}"
