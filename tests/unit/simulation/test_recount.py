"""The judge that remembers nothing sees each row that somebody has changed behind everybody's back."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import attrs
import pytest

from custody_memory.tables import Tables
from tests.unit.simulation.failures import InvariantBroken
from tests.unit.simulation.story import Story

SEED: Final = 0
STEPS: Final = 1_500


@pytest.fixture(scope="module")
def story() -> Iterator[Story]:
    """A story in progress, at a moment when something waits to be sealed."""
    told = Story(SEED, steps=STEPS)
    told.tell_trouble()
    while not told.store.tables.unsealed_audit.rows or not told.store.tables.unnumbered_events.rows:
        told.scheduler.step()
    yield told
    told.scheduler.close()


Tampering = Callable[[Tables], None]


def _change(table: str, wanted: Callable[[Any], bool] = lambda _: True, **values: Any) -> Tampering:
    """The last row of a table that is wanted has other values."""

    def tamper(tables: Tables) -> None:
        rows: dict[Any, Any] = getattr(tables, table).rows
        key = [key for key, row in rows.items() if wanted(row)][-1]
        changed = {name: value(getattr(rows[key], name)) if callable(value) else value for name, value in values.items()}
        dict.__setitem__(rows, key, attrs.evolve(rows[key], **changed))

    return tamper


def _take_away(table: str, wanted: Callable[[Any], bool] = lambda _: True) -> Tampering:
    def tamper(tables: Tables) -> None:
        rows: dict[Any, Any] = getattr(tables, table).rows
        dict.pop(rows, next(key for key, row in rows.items() if wanted(row)))

    return tamper


def _balance_is_off(tables: Tables) -> None:
    account, balance = next((account, balance) for account, balance in tables.balances.rows.items() if balance)
    dict.__setitem__(tables.balances.rows, account, balance + 1)


def _posting_is_off(tables: Tables) -> None:
    """A wallet has one wei more, and so its balance says."""
    groups = tables.groups._committed
    place, group = next((place, each) for place, each in enumerate(groups) if each.postings[0].account.asset == "eth")
    posting = next(each for each in group.postings if each.account.wallet_id)
    # What it came from gives one more, too, so the group still sums to zero.
    other = next(each for each in group.postings if each is not posting and each.account.asset == "eth")
    changed = {posting: posting.delta + 1, other: other.delta - 1}
    postings = tuple(attrs.evolve(each, delta=changed.get(each, each.delta)) for each in group.postings)
    groups[place] = attrs.evolve(group, postings=postings)
    for account, delta in ((posting.account, 1), (other.account, -1)):
        dict.__setitem__(tables.balances.rows, account, tables.balances.rows[account] + delta)


def _group_is_gone(tables: Tables) -> None:
    tables.groups._committed.pop()
    tables.groups._length -= 1


def _group_is_posted_twice(tables: Tables) -> None:
    tables.groups._committed.append(tables.groups._committed[0])
    tables.groups._length += 1


def _audit_row_is_altered(tables: Tables) -> None:
    tables.audit._committed[0] = attrs.evolve(tables.audit._committed[0], actor="somebody else")


def _audit_row_is_gone(tables: Tables) -> None:
    tables.audit._committed.pop()
    tables.audit._length -= 1


def _deposit_is_another_wallets(tables: Tables) -> None:
    deposit = next(iter(tables.deposits))
    other = next(each.id for each in tables.wallets if each.id != deposit.wallet_id)
    dict.__setitem__(tables.deposits.rows, deposit.id, attrs.evolve(deposit, wallet_id=other))


def _deposit_is_gone(tables: Tables) -> None:
    deposit = next(each for each in tables.deposits if str(each.state) == "completed")
    dict.pop(tables.deposits.rows, deposit.id)
    dict.pop(tables.deposit_by_key.rows, deposit.key)


def _deposit_is_there_twice(tables: Tables) -> None:
    deposit = next(each for each in tables.deposits if str(each.state) == "completed")
    twin = attrs.evolve(deposit, id="dep_twin", key=attrs.evolve(deposit.key, ordinal=7))
    dict.__setitem__(tables.deposits.rows, twin.id, twin)
    dict.__setitem__(tables.deposit_by_key.rows, twin.key, twin.id)


def _send_is_forgotten(tables: Tables) -> None:
    """A send that is at its end, and whose bytes are in a block."""
    send = next(each for each in tables.transactions if str(each.state) == "completed")
    dict.pop(tables.transactions.rows, send.id)
    indexes: list[dict[Any, str]] = [tables.transaction_by_hash.rows, tables.transaction_by_nonce.rows]
    for rows in indexes:
        for key in [key for key, id_ in rows.items() if id_ == send.id]:
            dict.pop(rows, key)


def _send_is_another_owners(tables: Tables) -> None:
    send = next(iter(tables.transactions))
    other = next(each.id for each in tables.users if each.id != send.owner_id)
    dict.__setitem__(tables.transactions.rows, send.id, attrs.evolve(send, owner_id=other))


def _nonce_is_skipped(tables: Tables) -> None:
    key, line = next(iter(tables.nonce_lines.rows.items()))
    dict.__setitem__(tables.nonce_lines.rows, key, attrs.evolve(line, next_nonce=line.next_nonce + 1))


def _oldest_header_is_gone(tables: Tables) -> None:
    dict.pop(tables.headers.rows, next(iter(tables.headers.rows)))


def _key_is_anothers(tables: Tables) -> None:
    first, second = list(tables.sealed_keys.rows)[:2]
    dict.__setitem__(tables.sealed_keys.rows, first, tables.sealed_keys.rows[second])


def _is(*states: str) -> Callable[[Any], bool]:
    return lambda row: str(row.state) in states


NOWHERE: Final = "0x" + "ab" * 32

TAMPERED: Final[Mapping[str, tuple[str, Tampering]]] = {
    "a balance is off by one": ("INV-2", _balance_is_off),
    "a balance is gone": ("INV-2", _take_away("balances", bool)),
    "a posting is off by one": ("INV-1", _posting_is_off),
    "a posting group is gone": ("INV-2", _group_is_gone),
    "a posting group is there twice": ("INV-2", _group_is_posted_twice),
    "a cause is found by nothing": ("INV-2", _take_away("group_by_cause")),
    "a deposit is gone": ("INV-3", _deposit_is_gone),
    "a deposit is there twice": ("INV-3", _deposit_is_there_twice),
    "a deposit is of another block": (
        "INV-3",
        _change("deposits", _is("completed"), block=lambda block: attrs.evolve(block, hash=NOWHERE)),
    ),
    "a deposit is not credited any more": ("INV-21", _change("deposits", _is("completed"), state="confirming")),
    "a deposit is another wallet's": ("INV-24", _deposit_is_another_wallets),
    "a deposit is not found by its key": ("INV-3", _take_away("deposit_by_key")),
    "a deposit that comes is not waited for": ("INV-21", _take_away("confirming_deposits")),
    "a header is another": ("INV-20", _change("headers", hash=NOWHERE)),
    "a header stands on another": ("INV-20", _change("headers", parent_hash=NOWHERE)),
    "the oldest header is gone": ("INV-20", _oldest_header_is_gone),
    "the cursor is one block back": ("INV-20", _change("chains", cursor=lambda at: attrs.evolve(at, number=at.number - 1))),
    "the final block is another": ("INV-20", _change("chains", final=lambda at: attrs.evolve(at, hash=NOWHERE))),
    "a send has no nonce any more": ("INV-9", _change("transactions", _is("completed"), nonce=None)),
    "a completed send was reverted": (
        "INV-11",
        _change("transactions", lambda row: str(row.state) == "completed" and row.asset.is_native, state="reverted"),
    ),
    "a send goes on": ("INV-22", _change("transactions", _is("completed"), state="broadcasting")),
    "a completed send was cancelled": ("INV-11", _change("transactions", _is("completed"), state="cancelled")),
    "a send's fee is another": (
        "INV-1",
        _change("transactions", _is("completed"), inclusion=lambda at: attrs.evolve(at, gas_used=at.gas_used + 1)),
    ),
    "a send is forgotten": ("INV-16", _send_is_forgotten),
    "a send is another owner's": ("INV-24", _send_is_another_owners),
    "a send's decision is gone": ("INV-16", _take_away("decisions", lambda row: row.nonce is not None)),
    "a send is not looked at any more": ("INV-22", _take_away("unsettled")),
    "an attempt is not found by its hash": ("INV-7", _take_away("transaction_by_hash")),
    "a nonce is not found": ("INV-9", _take_away("transaction_by_nonce")),
    "a nonce is skipped": ("INV-9", _nonce_is_skipped),
    "an address is nobody's": ("INV-21", _take_away("wallet_by_address")),
    "a key is another wallet's": ("INV-15", _key_is_anothers),
    "an answer is another key's": ("INV-8", _change("idempotency", key="another")),
    "an audit row is altered": ("INV-18", _audit_row_is_altered),
    "the newest audit row is gone": ("INV-18", _audit_row_is_gone),
    "an audit row that waits is gone": ("INV-18", _take_away("unsealed_audit")),
    "an event is gone": ("INV-25", _take_away("unnumbered_events")),
}


@pytest.mark.parametrize("name", TAMPERED)
def test_a_row_that_somebody_changed_is_seen(story: Story, name: str) -> None:
    invariant, tamper = TAMPERED[name]
    books = story.store.snapshot()
    try:
        story.recount()
        tamper(story.store.tables)
        with pytest.raises(InvariantBroken, match=f"^{invariant}: "):
            story.recount()
    finally:
        story.store.restore(books)
