"""Workflows of an operator's word: about what is in suspense, about what is quarantined, and words that are refused."""

from __future__ import annotations

from collections.abc import Callable

from custody_core import Custody, CustodyError
from custody_core.errors import (
    ChainHalted,
    IdempotencyKeyMissing,
    InsufficientFunds,
    InvalidAmount,
    InvalidRequest,
    InvalidStateTransition,
    NotFound,
    UnsupportedAsset,
)
from custody_core.services.suspense import Unexplained
from custody_memory.chain import MemoryChain
from tests.unit.simulation.failures import require
from tests.unit.simulation.operators import resume
from tests.unit.simulation.props import FRIEND
from tests.unit.simulation.rehearsal import FINALITY_LAG, Rehearsal
from tests.unit.simulation.virtual_time import MICROSECONDS

ANOTHER_CHAIN = 2
NOTE = "looked at"


def hole_filled(on: Rehearsal) -> None:
    """A token took a tenth from everybody by itself. What is missing is filled in two parts from what its owner has left."""
    _shrunk(on, 900)
    on.arm()
    _compare(on)
    assert _in_suspense(on) == [-50]
    on.ask(lambda custody: _fill_down_to(custody, -20))
    assert _in_suspense(on) == [-20]
    on.ask(lambda custody: _fill_down_to(custody, 0))


def filled_too_much(on: Rehearsal) -> None:
    """More than is missing; more than its owner has, before what was kept back is theirs; and a hole is nothing to give."""
    (token,) = on.custody.tokens.list()
    on.custody.tokens.set_dust(token.id, 150)
    on.tree.send_token(on.token, on.wallet.address, 100)
    _shrunk(on, 300, tokens=200)
    (kept,) = [each.id for each in on.store.tables.deposits if each.key.amount == 100]
    _compare(on)
    assert _in_suspense(on) == [-210]
    wallet = on.wallet.id
    on.arm()
    _refused(on, InvalidAmount, _fill(wallet, asset="usdc", amount=211))
    _refused(on, InsufficientFunds, _fill(wallet, asset="usdc", amount=210))
    _refused(on, InsufficientFunds, _book(wallet, asset="usdc"))
    on.release(kept)
    on.ask(lambda custody: _fill_down_to(custody, 0))


def hole_that_closed_by_itself(on: Rehearsal) -> None:
    """The token gives back what it took, and nobody has to fill anything."""
    _shrunk(on, 500)
    on.arm()
    _compare(on)
    assert _in_suspense(on) == [-250]
    on.tree.rebase(on.token, 2_000)
    on.blocks(FINALITY_LAG + 1)
    on.until(lambda: [state.final.number for state in on.store.tables.chains] == [on.tree.final])
    _compare(on)
    assert _in_suspense(on) == []


def suspense_asked_wrongly(on: Rehearsal) -> None:
    """An amount that is none, a wallet, an asset and a chain that nobody knows, and no chain where there are several."""
    on.fund()
    wallet, several = on.wallet.id, on.service_for(MemoryChain(ANOTHER_CHAIN))
    on.arm()
    for act in (_book, _fill):
        _refused(on, InvalidAmount, act(wallet, amount=0))
        _refused(on, InvalidAmount, act(wallet, amount=-1))
        _refused(on, NotFound, act("wal_nobody"))
        _refused(on, UnsupportedAsset, act(wallet, asset="unheard-of"))
        _refused(on, NotFound, act(wallet, chain_id=ANOTHER_CHAIN))
        _refused(on, NotFound, lambda _, act=act: act(wallet)(several))  # type: ignore[misc]
    _refused(on, InsufficientFunds, _book(wallet))
    _refused(on, InvalidAmount, _fill(wallet))


def released_wrongly(on: Rehearsal) -> None:
    """What goes out, and what its owner has already. Dust waits for a chain that is not halted."""
    on.fund()
    (credited,) = list(on.store.tables.deposits)
    sent = on.send()
    on.settle()
    on.tree.send_ether(on.wallet.address, 5)
    on.blocks(FINALITY_LAG + 1)
    (dust,) = [each.id for each in on.store.tables.deposits if each.id != credited.id]
    on.arm()
    for id_ in (sent, credited.id):
        _refused(on, InvalidStateTransition, lambda custody, id_=id_: custody.transactions.release(id_, note=NOTE))  # type: ignore[misc]
    on.tree.breach(FINALITY_LAG + 1)
    on.until(on.is_halted)
    _refused(on, ChainHalted, lambda custody: custody.transactions.release(dust, note=NOTE))
    on.tree.return_to(on.tree.pasts[0])
    on.ask(resume)
    on.release(dust)


def keys_that_are_none(on: Rehearsal) -> None:
    """No key, and keys that no header may hold."""
    on.fund()
    on.arm()
    for key, reason in (("", IdempotencyKeyMissing), ("two words", InvalidRequest), ("k" * 256, InvalidRequest)):
        _refused(on, reason, lambda custody, key=key: custody.wallets.create(owner="bob", idempotency_key=key))  # type: ignore[misc]
        _refused(
            on,
            reason,
            lambda custody, key=key: custody.transactions.send(on.wallet.id, to=FRIEND, amount=1, idempotency_key=key),  # type: ignore[misc]
        )
    on.send("a-key")


def worked_within_another_unit(on: Rehearsal) -> None:
    """What needs commits of its own is refused inside of a unit that may still be undone; the key is left for a right request."""
    on.fund()
    on.arm()
    for act in (Custody.tick, Custody.reconcile, Custody.seal):
        _refused(on, InvalidStateTransition, lambda custody, act=act: _once(custody, act))  # type: ignore[misc]
    answered = on.ask(lambda custody: _once(custody, lambda _: None))
    assert answered == {"id": "done"}


def _once(custody: Custody, act: Callable[[Custody], object]) -> object:
    def work() -> dict[str, object]:
        act(custody)
        return {"id": "done"}

    return custody.once(work, caller_id="usr_alice", route="POST /work", key="work", body={}).answer


def _shrunk(on: Rehearsal, permille: int, *, tokens: int = 500) -> None:
    """Of all tokens that Alice was paid so much of each thousand is left, without any event."""
    on.fund(tokens=tokens)
    on.oracle.odd.add(on.token.lower())
    on.tree.rebase(on.token, permille)
    on.blocks(FINALITY_LAG + 1)


def _compare(on: Rehearsal) -> None:
    """Again where the node did not answer."""
    while not on.ask(lambda custody: custody.reconcile()).ok:
        on.time.us += MICROSECONDS


def _in_suspense(on: Rehearsal) -> list[int]:
    found: list[Unexplained] = list(on.ask(lambda custody: custody.suspense.list()))
    return [each.amount for each in found]


def _fill_down_to(custody: Custody, left: int) -> None:
    """Until so much is missing, once."""
    for each in custody.suspense.list():
        if each.amount < left:
            assert custody.suspense.fill(each.wallet.id, asset=each.asset.alias, amount=left - each.amount, note=NOTE) == left


def _book(wallet_id: str, *, asset: str = "eth", amount: int = 1, chain_id: int | None = None) -> Callable[[Custody], object]:
    return lambda custody: custody.suspense.book(wallet_id, asset=asset, amount=amount, note=NOTE, chain_id=chain_id)


def _fill(wallet_id: str, *, asset: str = "eth", amount: int = 1, chain_id: int | None = None) -> Callable[[Custody], object]:
    return lambda custody: custody.suspense.fill(wallet_id, asset=asset, amount=amount, note=NOTE, chain_id=chain_id)


def _refused(on: Rehearsal, reason: type[CustodyError], act: Callable[[Custody], object]) -> None:
    """With that error, and no row is another one than before."""
    before = on.store.commits
    try:
        on.ask(act)
    except reason:
        require(on.store.commits == before, "refusals", f"{reason.__name__}, and something was changed")
        return
    require(False, "refusals", f"{reason.__name__} is expected")
