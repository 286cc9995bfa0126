"""The composition root: with `bootstrap_keys` the only place that names concrete adapters.

Order, so that a start that has to be refused has changed nothing:

1. the nodes: each must be of its configured chain, and must know the `finalized` tag where no depth is set;
2. the master key: the file must be there and sound, or there must be nothing yet that was sealed under another one;
3. the database: opened, and only when asked to (`create`) made, migrated and given its first rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from datetime import timedelta
from typing import TYPE_CHECKING

import attrs

from custody_app.config import ChainSettings, ConfigurationError, Settings
from custody_app.observers import QuietObserver
from custody_app.system import SystemClock, SystemEntropy
from custody_core import Custody, CustodyError, Limits, NodeUnavailable, Policy, Traces
from custody_core.domain.chain import InternalTransfer
from custody_core.domain.corroboration import NODES_NEEDED
from custody_core.ports import Absent, Answer, BlockTag, Found, Observer, Unknown
from custody_rpc import InvalidNodeUrl, RpcChain
from custody_sql.store import SqlStore

if TYPE_CHECKING:
    from custody_app.bootstrap_keys import InstallationKeys


@attrs.frozen
class Opened:
    """A built service, and what had to be made for it."""

    custody: Custody
    settings: Settings
    database_made: bool
    key_file_made: bool
    starter_policy: Policy | None


@contextmanager
def open_service(
    settings: Settings,
    *,
    observer: Observer,
    create: bool = False,
    with_keys: bool = True,
    with_nodes: bool = True,
    chain_id_from_node: bool = False,
) -> Iterator[Opened]:
    """Builds the service from its settings and closes it afterwards, in reverse order.

    `create` makes what is missing: tables, key file, starter policy. With `with_keys=False` it holds no key material; with
    `with_nodes=False` no node has to answer before it starts, which is for looking things up. `chain_id_from_node`: the
    id of a single chain for which none is set is taken from its node, unless the database already follows another.

    Raises `ConfigurationError`, `NodeUnavailable`, `KeyFileError`, `KeyIntegrity`, `DatabaseUnavailable`.
    """
    if chain_id_from_node:
        settings = _with_node_id(settings)
    with ExitStack() as closing:
        chains = {chain.chain_id: closing.enter_context(_connected(chain, settings, observer)) for chain in settings.chains}
        if with_nodes:
            for chain in settings.chains:
                _require_right_node(chains[chain.chain_id], chain)
                if with_keys and (warning := lone_traces(chains[chain.chain_id], chain, settings)):
                    observer.trouble("cross-check-untraced", f"chain {chain.name}: {warning}")
        store = closing.enter_context(open_database(settings))
        store.require_safe()
        store.require_upgradable()
        database_made = create and not store.exists()
        keys = closing.enter_context(_keys(settings, store, create=create)) if with_keys else None
        if create:
            store.upgrade()
        store.require_current()
        if keys is not None:
            keys.make_missing()
        custody = closing.enter_context(_built(settings, store, chains, keys, observer))
        starter = _first_rows(custody, store, settings, keys) if create and keys else None
        yield Opened(custody, settings, database_made, keys is not None and keys.were_made, starter)


@contextmanager
def open_database(settings: Settings) -> Iterator[SqlStore]:
    """The database alone, whatever its revision. Raises `DatabaseUnavailable`."""
    store = SqlStore(settings.database_url)
    try:
        yield store
    finally:
        store.close()


@contextmanager
def open_node(chain: ChainSettings, settings: Settings) -> Iterator[RpcChain]:
    """One chain's node alone. Raises `NodeUnavailable`, and `ConfigurationError` where it is not that chain's."""
    connected = _connect(chain, settings, QuietObserver())
    try:
        _require_right_node(connected, chain)
        yield connected
    finally:
        connected.close()


@contextmanager
def _keys(settings: Settings, store: SqlStore, *, create: bool) -> Iterator[InstallationKeys]:
    # A process without keys loads no code that could open one: the web process stays smaller in both senses.
    from custody_app.bootstrap_keys import InstallationKeys  # noqa: PLC0415 - see above

    keys = InstallationKeys(settings, store, create=create)
    try:
        yield keys
    finally:
        keys.close()


@contextmanager
def _built(
    settings: Settings, store: SqlStore, chains: dict[int, RpcChain], keys: InstallationKeys | None, observer: Observer
) -> Iterator[Custody]:
    entropy = SystemEntropy()
    custody = Custody(
        store=store,
        chains=chains,
        keys=keys.sealed(entropy) if keys else None,
        clock=SystemClock(),
        entropy=entropy,
        observer=observer,
        limits=_limits(settings),
        chain_names={chain.chain_id: chain.name for chain in settings.chains},
    )
    try:
        yield custody
    finally:
        with suppress(CustodyError):  # the leases end by themselves; this only spares the next process the wait
            custody.step_down()


def _first_rows(custody: Custody, store: SqlStore, settings: Settings, keys: InstallationKeys) -> Policy | None:
    """What a new database needs; the policy that it was given, None where one was in force."""
    _require_known_chains(store, settings)
    keys.keep_check(store)
    return custody.policies.ensure_starter()


def _limits(settings: Settings) -> Limits:
    return Limits(
        fee_per_gas_max_wei=settings.max_fee_per_gas_wei,
        fee_max_wei=settings.max_fee_wei,
        gas_limit_max=settings.max_gas_limit,
        confirmations={chain.chain_id: chain.confirmations for chain in settings.chains},
        traces={chain.chain_id: chain.traces for chain in settings.chains},
        head_age_max={chain.chain_id: timedelta(seconds=chain.head_age_max_s) for chain in settings.chains if chain.head_age_max_s},
        dust_wei=settings.dust_wei,
        cross_check_min_wei=settings.cross_check_min_wei,
        in_flight_max=settings.in_flight_max,
        reconcile_requests_per_minute=settings.reconcile_requests_per_minute,
        key_pool_size=settings.key_pool_size,
    )


# The nodes


@contextmanager
def _connected(chain: ChainSettings, settings: Settings, observer: Observer) -> Iterator[RpcChain]:
    connected = _connect(chain, settings, observer)
    try:
        yield connected
    finally:
        connected.close()


def _connect(chain: ChainSettings, settings: Settings, observer: Observer) -> RpcChain:
    try:
        return RpcChain(chain.chain_id, chain.rpc_urls, allow_http=settings.allow_http_rpc, trouble=observer.trouble)
    except InvalidNodeUrl as problem:
        raise ConfigurationError(f"RPC_URL of chain {chain.name}: {problem}") from None


def _with_node_id(settings: Settings) -> Settings:
    """`settings`, with the id of a single chain as its node states it where none is set."""
    if len(settings.chains) != 1 or settings.chains[0].is_chain_id_given:
        return settings
    (chain,) = settings.chains
    connected = _connect(chain, settings, QuietObserver())
    try:
        answer = connected.node_chain_id()
    finally:
        connected.close()
    if not isinstance(answer, Found):
        raise _silent(chain, answer)
    return attrs.evolve(settings, chains=(attrs.evolve(chain, chain_id=answer.value),))


def _require_right_node(connected: RpcChain, chain: ChainSettings) -> None:
    """Every node that answers must be on the chain, and one must answer. The rest is verified before it is used."""
    answers = connected.node_chain_ids()
    for position, answer in enumerate(answers, 1):
        if isinstance(answer, Found) and answer.value != chain.chain_id:
            node = "the node" if len(answers) == 1 else f"node {position} of the {len(answers)}"
            raise ConfigurationError(
                f"{node} of chain {chain.name} is on chain {answer.value}, the settings say {chain.chain_id}; "
                f"set CUSTODY_CHAIN_ID={answer.value} if that is the chain you mean, else CUSTODY_RPC_URL"
            )
    if not any(isinstance(answer, Found) for answer in answers):
        raise _silent(chain, answers[0])
    if chain.confirmations is None and not isinstance(connected.header(BlockTag.FINALIZED), Found):
        raise ConfigurationError(
            f"the node of chain {chain.name} does not know the `finalized` tag; set CUSTODY_CONFIRMATIONS to the number of blocks "
            "after which you take a block for final (12 or more on Ethereum)"
        )
    if chain.traces is Traces.REQUIRED and isinstance(newest_traced(connected), Absent):
        raise ConfigurationError(
            f"the node of chain {chain.name} offers no traces, and CUSTODY_TRACES=required asks for them; use one with trace_block "
            "or debug_traceBlockByHash, or set CUSTODY_TRACES=auto, by which internal transfers end in suspense"
        )


def lone_traces(connected: RpcChain, chain: ChainSettings, settings: Settings) -> str | None:
    """Why large internal deposits will wait for an operator: two nodes have to agree about them, and fewer offer traces. None
    where that is not so, or cannot be told now.
    """
    if settings.cross_check_min_wei is None or chain.traces is Traces.OFF:
        return None
    without = sum(isinstance(answer, Absent) for answer in _newest_traced_alone(connected))
    offering = len(chain.rpc_urls) - without
    if offering >= NODES_NEEDED or not without:
        return None
    return (
        f"{offering} of its {len(chain.rpc_urls)} nodes offer traces, and CUSTODY_CROSS_CHECK_MIN_WEI asks two of them about what "
        "contracts pay: each such deposit of that much or more holds up finality for ten minutes and is then quarantined, until an "
        "operator releases it; use two nodes with trace_block or debug_traceBlockByHash, or set CUSTODY_TRACES=off"
    )


def _newest_traced_alone(connected: RpcChain) -> list[Answer[Sequence[InternalTransfer]]]:
    """What each node says that contracts paid in the newest block."""
    head = connected.header(BlockTag.LATEST)
    if not isinstance(head, Found):
        return []
    shown = [(witness, answer) for witness in connected.witnesses for answer in witness.blocks([head.value.number])]
    return [witness.internal_transfers([block.value])[0] for witness, block in shown if isinstance(block, Found)]


def newest_traced(connected: RpcChain) -> Answer[Sequence[InternalTransfer]]:
    """What contracts paid in the newest block: `Absent` where the nodes offer no traces."""
    head = connected.header(BlockTag.LATEST)
    blocks = connected.blocks([head.value.number] if isinstance(head, Found) else [])
    answers = connected.internal_transfers([block.value for block in blocks if isinstance(block, Found)])
    return answers[0] if answers else Unknown("the node does not show its newest block")


def _silent(chain: ChainSettings, answer: Answer[int]) -> NodeUnavailable:
    why = answer.reason if isinstance(answer, Unknown) else "it has no chain id"
    return NodeUnavailable(f"the node of chain {chain.name} does not answer ({why}); check CUSTODY_RPC_URL and that the node runs")


# The database


def _require_known_chains(store: SqlStore, settings: Settings) -> None:
    """A database that follows chains is not given a first node of another one by mistake."""
    with store.reading() as unit:
        known = {state.chain_id for state in unit.chains()}
    configured = {chain.chain_id for chain in settings.chains}
    if known and not known & configured:
        raise ConfigurationError(
            f"this database follows {_names(sorted(known))}, the settings name only {_names(sorted(configured))}"
        )


def _names(chain_ids: Sequence[int]) -> str:
    return ", ".join(f"eip155:{chain_id}" for chain_id in chain_ids)
