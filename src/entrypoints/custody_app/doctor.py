"""Looking at a whole installation: what is there, what is wrong, and what to do about it.

Every check is made, whatever the others found; one that cannot be made because of another says so. Nothing is changed, and
nothing that is shown holds a secret.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from urllib.parse import urlsplit

from custody_app import doctor_books, doctor_sends
from custody_app.bootstrap import lone_traces, newest_traced, open_database, open_node, open_service
from custody_app.bootstrap_keys import check_key_file
from custody_app.config import ChainSettings, Settings
from custody_app.findings import Finding
from custody_app.observers import QuietObserver
from custody_core import Custody, CustodyError, Traces
from custody_core.domain.resources import chain_text
from custody_core.ports import Absent, BlockTag, Found
from custody_core.services.chains import ChainStatus

LAG_BLOCKS_MAX = 10
"""How many blocks the scanner may be behind before somebody should look."""


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
                "traces": str(chain.traces),
            }
            for chain in settings.chains
        ],
        "key_file": str(settings.key_file),
        "scan_interval_s": settings.scan_interval_s,
        "max_fee_per_gas_wei": str(settings.max_fee_per_gas_wei),
        "reconcile_requests_per_minute": settings.reconcile_requests_per_minute,
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
            untraced = chain.traces is Traces.AUTO and isinstance(newest_traced(node), Absent)
            lone = lone_traces(node, chain, settings)
            unknown = node.unknown_header_fields
            silent = [state for state in node.nodes if not state.is_healthy or state.failures]
    except CustodyError as problem:
        return Finding(name, False, problem.detail)
    if not isinstance(head, Found):
        return Finding(name, False, "it answers, but does not show its head; see whether it is still syncing")
    known_final = f"final {final.value.number}" if isinstance(final, Found) else "no finalized tag"
    answers = f"answers, on the right chain, head {head.value.number}, {known_final}"
    if untraced:
        answers += ", no traces (internal transfers end in suspense)"
    if silent:
        told = "; ".join(f"{state.name}: {state.last_failure}" for state in silent)
        return Finding(name, False, f"{answers}, but of {len(chain.rpc_urls)} nodes not all do: {told}")
    if lone:
        return Finding(name, None, f"{answers}, but {lone}")
    if unknown:
        return Finding(
            name, None, f"{answers}; its blocks have fields that this version does not know: see whether there is a newer one"
        )
    return Finding(name, True, answers)


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
            yield from doctor_sends.stopped(opened.custody.chains.stopped_wallets())
            yield from doctor_sends.waiting(opened.custody, datetime.now(UTC))
            yield from doctor_books.examined(opened.custody, datetime.now(UTC))
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
    if status.behind is not None:
        return Finding(name, False, f"its node is behind its chain, so nothing is sent: {status.behind}")
    where = f"followed to block {state.cursor.number}, {lag} behind the head, final to {state.final.number}"
    if lag > LAG_BLOCKS_MAX:
        return Finding(name, False, f"{where}; see that `custody scanner` runs and what it says")
    return Finding(name, True, where)
