"""The composition root: the only place that names concrete adapters.

Order, so that a start that has to be refused has changed nothing:

1. the nodes: each must be of its configured chain, and must know the `finalized` tag where no depth is set;
2. the master key: the file must be there and sound, or there must be nothing yet that was sealed under another one;
3. the database: opened, and only when asked to (`create`) made, migrated and given its first rows.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import attrs

from custody_app.config import ChainSettings, ConfigurationError, Settings
from custody_app.system import SystemClock, SystemEntropy
from custody_core import Custody, CustodyError, Limits, NodeUnavailable, Policy
from custody_core.errors import KeyIntegrity
from custody_core.ports import Answer, BlockTag, Found, Observer, Unknown
from custody_keys.key_file import KeyFileError, MasterKeys, load_key_file, make_key_file
from custody_keys.sealed import SealedKeys, check_value, matches_check_value
from custody_rpc import InvalidNodeUrl, RpcChain
from custody_sql.store import SqlStore

KEY_CHECK = "key-check"
"""The setting in the database that tells the right master key from a wrong one."""

KEY_FILE_WAIT_S = 2.0
"""How long a key file that is still empty is given, before it is taken for one that was never finished."""


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
        chains = {chain.chain_id: closing.enter_context(_connected(chain, settings)) for chain in settings.chains}
        if with_nodes:
            for chain in settings.chains:
                _require_right_node(chains[chain.chain_id], chain)
        store = closing.enter_context(open_database(settings))
        store.require_safe()
        store.require_upgradable()
        database_made = create and not store.exists()
        master = _existing_keys(settings.key_file, _key_check(store), create=create) if with_keys else None
        if create:
            store.upgrade()
        store.require_current()
        key_file_made = with_keys and master is None and _make_keys(settings.key_file)
        if with_keys and master is None:
            master = _written_keys(settings.key_file)
        if master is not None:
            closing.callback(master.close)
        custody = closing.enter_context(_built(settings, store, chains, master, observer))
        starter = _first_rows(custody, store, settings, master) if create and master else None
        yield Opened(custody, settings, database_made, key_file_made, starter)


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
    connected = _connect(chain, settings)
    try:
        _require_right_node(connected, chain)
        yield connected
    finally:
        connected.close()


def check_key_file(settings: Settings, store: SqlStore) -> None:
    """Raises `KeyFileError` or `KeyIntegrity` unless the key file is sound and the one that the database was sealed under."""
    master = _existing_keys(settings.key_file, _key_check(store), create=False)
    if master is not None:
        master.close()


@contextmanager
def _built(
    settings: Settings, store: SqlStore, chains: dict[int, RpcChain], master: MasterKeys | None, observer: Observer
) -> Iterator[Custody]:
    entropy = SystemEntropy()
    custody = Custody(
        store=store,
        chains=chains,
        keys=SealedKeys(master, entropy) if master else None,
        clock=SystemClock(),
        entropy=entropy,
        observer=observer,
        limits=_limits(settings),
    )
    try:
        yield custody
    finally:
        with suppress(CustodyError):  # the leases end by themselves; this only spares the next process the wait
            custody.step_down()


def _first_rows(custody: Custody, store: SqlStore, settings: Settings, master: MasterKeys) -> Policy | None:
    """What a new database needs; the policy that it was given, None where one was in force."""
    _require_known_chains(store, settings)
    _keep_key_check(store, master)
    return custody.policies.ensure_starter()


def _limits(settings: Settings) -> Limits:
    return Limits(
        fee_per_gas_max_wei=settings.max_fee_per_gas_wei,
        confirmations={chain.chain_id: chain.confirmations for chain in settings.chains},
        dust_wei=settings.dust_wei,
        key_pool_size=settings.key_pool_size,
    )


# The nodes


@contextmanager
def _connected(chain: ChainSettings, settings: Settings) -> Iterator[RpcChain]:
    connected = _connect(chain, settings)
    try:
        yield connected
    finally:
        connected.close()


def _connect(chain: ChainSettings, settings: Settings) -> RpcChain:
    try:
        return RpcChain(chain.chain_id, chain.rpc_urls, allow_http=settings.allow_http_rpc)
    except InvalidNodeUrl as problem:
        raise ConfigurationError(f"RPC_URL of chain {chain.name}: {problem}") from None


def _with_node_id(settings: Settings) -> Settings:
    """`settings`, with the id of a single chain as its node states it where none is set."""
    if len(settings.chains) != 1 or settings.chains[0].is_chain_id_given:
        return settings
    (chain,) = settings.chains
    connected = _connect(chain, settings)
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


def _silent(chain: ChainSettings, answer: Answer[int]) -> NodeUnavailable:
    why = answer.reason if isinstance(answer, Unknown) else "it has no chain id"
    return NodeUnavailable(f"the node of chain {chain.name} does not answer ({why}); check CUSTODY_RPC_URL and that the node runs")


# The master key


def _key_check(store: SqlStore) -> bytes | None:
    """What the database says about the master key; None where there is no database yet."""
    if not store.exists():
        return None
    with store.reading() as unit:
        return unit.setting(KEY_CHECK)


def _existing_keys(path: Path, sealed_under: bytes | None, *, create: bool) -> MasterKeys | None:
    """The master keys; None where they may be made, because there is no file and nothing was sealed before."""
    if create and sealed_under is None:
        if not os.path.lexists(path):  # a dangling symbolic link is there, and is refused below
            _require_folder(path)
            return None
        return _written_keys(path)
    master = load_key_file(path)
    if sealed_under is not None:
        _require_match(master, sealed_under)
    return master


def _require_match(master: MasterKeys, sealed_under: bytes) -> None:
    if not matches_check_value(master, sealed_under):
        master.close()
        raise KeyIntegrity(
            "this key file is not the one that this database's keys are sealed under; set CUSTODY_KEY_FILE to the right one"
        )


def _require_folder(path: Path) -> None:
    """A key file that cannot be made is known before anything else is."""
    if not path.parent.is_dir() or not os.access(path.parent, os.W_OK):
        raise ConfigurationError("the key file cannot be made: the folder in CUSTODY_KEY_FILE is not there, or not writable")


def _make_keys(path: Path) -> bool:
    """Makes the key file; False where another process that starts at the same moment has made it first."""
    try:
        make_key_file(path)
    except KeyFileError:
        if not os.path.lexists(path):
            raise
        return False
    return True


def _written_keys(path: Path) -> MasterKeys:
    """The master keys of a file that another process may be making right now: it is empty for a moment."""
    deadline_s = time.monotonic() + KEY_FILE_WAIT_S
    while time.monotonic() < deadline_s and _is_empty(path):
        time.sleep(0.02)
    return load_key_file(path)


def _is_empty(path: Path) -> bool:
    try:
        return path.lstat().st_size == 0
    except OSError:
        return False  # loading it says what is wrong


def _keep_key_check(store: SqlStore, master: MasterKeys) -> None:
    with store.transaction() as unit:
        unit.lock_pool()  # of two that make keys at once, the second sees what the first one kept
        kept = unit.setting(KEY_CHECK)
        if kept is None:
            unit.put_setting(KEY_CHECK, check_value(master))
        else:
            _require_match(master, kept)


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
