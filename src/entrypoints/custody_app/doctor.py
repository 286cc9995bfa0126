"""Looking at a whole installation: what is there, what is wrong, and what to do about it.

Every check is made, whatever the others found; one that cannot be made because of another says so. Nothing is changed, and
nothing that is shown holds a secret.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import attrs

from custody_app.bootstrap import open_database, open_node, open_service
from custody_app.bootstrap_keys import check_key_file
from custody_app.config import ChainSettings, Settings
from custody_app.observers import QuietObserver
from custody_core import Custody, CustodyError, Transaction, TransactionState
from custody_core.domain.resources import chain_text
from custody_core.ports import BlockTag, Found
from custody_core.services.chains import ChainStatus

LAG_BLOCKS_MAX = 10
"""How many blocks the scanner may be behind before somebody should look."""

UNTOUCHED_MAX = timedelta(minutes=1)
"""How long a transaction may wait for the scanner."""

UNMINED_MAX = timedelta(minutes=10)
"""How long a transaction may wait for a block."""

_PAGE = 200

_WAYS_OUT: Mapping[str, str] = {
    "key-integrity": "its sealed key does not open; restore the wallet's row from a backup, nothing is signed before that",
    "not-authorised": "its key or its decision is missing; restore them from a backup, nothing is signed before that",
    "nonce-foreign": "somebody else used this wallet's key; freeze the wallet, and find out who",
    "wallet-frozen": "`custody wallet unfreeze` lets it go on, `custody tx cancel` takes it back",
    "fee-above-cap": "the market is above its cap; it goes on when the market falls, `custody tx cancel` takes it back",
    "fee-unavailable": "the node gives no fees; see what is wrong with the node, then it goes on by itself",
    "node-unavailable": "the node does not answer; see what is wrong with it, then it goes on by itself",
    "sealed": "the master key is not loaded; start the scanner with the right CUSTODY_KEY_FILE",
    "signer-unavailable": "the signer does not answer; start it, then this goes on by itself",
}

_NOT_WRONG = frozenset({"in-flight-limit"})
"""Reasons to wait that are as it should be."""


@attrs.frozen
class Finding:
    """One thing that was looked at. `ok` is None where it could not be."""

    name: str
    ok: bool | None
    detail: str


def examine(settings: Settings) -> Iterator[Finding]:
    """Looks at everything, in the order in which things depend on each other."""
    if not settings.chains:
        yield Finding("node", False, "none is set; give CUSTODY_RPC_URL (and CUSTODY_CHAIN_ID where it is not Sepolia)")
    for chain in settings.chains:
        yield _node(chain, settings)
    database = _database(settings)
    yield database
    yield _key_file(settings)
    if database.ok:
        yield from _service(settings)


def settings_shown(settings: Settings) -> Mapping[str, object]:
    """The settings, without what must not be shown."""
    return {
        "database": _without_secrets(settings.database_url),
        "chains": [
            {
                "name": chain.name,
                "id": chain_text(chain.chain_id),
                "nodes": [_without_secrets(url) for url in chain.rpc_urls],
                "confirmations": "finalized" if chain.confirmations is None else chain.confirmations,
            }
            for chain in settings.chains
        ],
        "key_file": str(settings.key_file),
        "scan_interval_s": settings.scan_interval_s,
        "max_fee_per_gas_wei": str(settings.max_fee_per_gas_wei),
        "key_pool_size": settings.key_pool_size,
        "dust_wei": str(settings.dust_wei),
    }


def _without_secrets(url: str) -> str:
    """Scheme and host of a URL: its user, path and query may hold a key. A SQLite file is shown whole."""
    parts = urlsplit(url)
    if parts.scheme == "sqlite":
        return url
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme}://{parts.hostname or ''}{port}"


def _node(chain: ChainSettings, settings: Settings) -> Finding:
    name = f"node of {chain_text(chain.chain_id)}"
    try:
        with open_node(chain, settings) as node:
            head, final = node.header(BlockTag.LATEST), node.header(BlockTag.FINALIZED)
    except CustodyError as problem:
        return Finding(name, False, problem.detail)
    if not isinstance(head, Found):
        return Finding(name, False, "it answers, but does not show its head; see whether it is still syncing")
    known_final = f"final {final.value.number}" if isinstance(final, Found) else "no finalized tag"
    return Finding(name, True, f"answers, on the right chain, head {head.value.number}, {known_final}")


def _database(settings: Settings) -> Finding:
    try:
        with open_database(settings) as store:
            store.require_current()
            store.require_safe()
            return Finding("database", True, f"at revision {store.schema().current}, as this version wants it")
    except CustodyError as problem:
        return Finding("database", False, problem.detail)


def _key_file(settings: Settings) -> Finding:
    try:
        with open_database(settings) as store:
            check_key_file(settings, store)
            suffix = "the one that this database is sealed under" if store.exists() else "sound"
    except CustodyError as problem:
        return Finding("key file", False, problem.detail)
    return Finding("key file", True, suffix)


def _service(settings: Settings) -> Iterator[Finding]:
    try:
        with open_service(settings, observer=QuietObserver(), with_keys=False, with_nodes=False) as opened:
            yield from _chains(opened.custody, settings)
            yield _wallets_ready(opened.custody)
            yield from _waiting(opened.custody)
            yield _audit_trail(opened.custody)
    except CustodyError as problem:
        yield Finding("service", False, problem.detail)


def _chains(custody: Custody, settings: Settings) -> Iterator[Finding]:
    statuses = custody.chains.list()
    yield from (_chain(status) for status in statuses)
    followed = {status.state.chain_id for status in statuses}
    for chain in settings.chains:
        if chain.chain_id not in followed:
            yield Finding(f"chain {chain_text(chain.chain_id)}", False, "is not followed yet; start `custody scanner`")


def _wallets_ready(custody: Custody) -> Finding:
    ready = custody.wallets.pool_size()
    return Finding(
        "wallets ready", ready > 0, f"{ready}" if ready else "none; `custody scanner` makes them ahead: see that it runs"
    )


def _audit_trail(custody: Custody) -> Finding:
    verdict = custody.audit.verify()
    if verdict.first_broken is None:
        return Finding("audit trail", True, f"{verdict.rows} rows follow from the beginning")
    return Finding("audit trail", False, f"row {verdict.first_broken} does not follow: it was changed; compare it with a backup")


def _chain(status: ChainStatus) -> Finding:
    state, lag = status.state, status.lag_blocks
    name = f"chain {chain_text(state.chain_id)}"
    if state.halted_reason is not None:
        way_out = f"find out which is right, then `custody chain resume {chain_text(state.chain_id)}`"
        return Finding(name, False, f"halted: {state.halted_reason}; {way_out}")
    if lag is None:
        return Finding(name, None, f"followed to block {state.cursor.number}; its node does not say how far that is behind")
    where = f"followed to block {state.cursor.number}, {lag} behind the head, final to {state.final.number}"
    if lag > LAG_BLOCKS_MAX:
        return Finding(name, False, f"{where}; see that `custody scanner` runs and what it says")
    return Finding(name, True, where)


def _waiting(custody: Custody) -> Iterator[Finding]:
    now, wrong = datetime.now(UTC), 0
    for transaction in _unfinished(custody):
        way_out = _way_out(transaction, now)
        if way_out is not None:
            wrong += 1
            yield Finding(f"{transaction.id}", False, f"{transaction.state}, {way_out}")
    if not wrong:
        yield Finding("transactions", True, "none is parked or stuck")


def _unfinished(custody: Custody) -> Iterator[Transaction]:
    for state in (TransactionState.QUEUED, TransactionState.PENDING_SIGNATURE, TransactionState.BROADCASTING):
        before = None
        while page := custody.transactions.list(direction="outgoing", state=str(state), limit=_PAGE, before_id=before):
            yield from (each for each in page if isinstance(each, Transaction))
            before = page[-1].id


def _way_out(transaction: Transaction, now: datetime) -> str | None:
    """What is wrong with a transaction that is not final, and what to do; None where it is on its way."""
    parked, age = transaction.parked_reason, now - transaction.created_at
    if parked in _NOT_WRONG:
        return None
    if parked is not None:
        return f"parked ({parked}): {_WAYS_OUT.get(parked, 'it is tried again; `custody tx cancel` takes it back')}"
    if transaction.state is not TransactionState.BROADCASTING:
        return "waits for the scanner; see that `custody scanner` runs" if age > UNTOUCHED_MAX else None
    if age > UNMINED_MAX:
        return f"no block holds it after {age // timedelta(minutes=1)} minutes; `custody tx cancel {transaction.id}` takes it back"
    return None
