"""What a thief finds: in the database, its log and its dump there is no key, and a row that was tampered with signs nothing."""

import sqlite3
from pathlib import Path

import pytest
from sqlalchemy import text

from custody_core import TransactionState, Wallet, ether
from custody_keys.key_file import load_key_file
from custody_keys.sealed import _open_own
from tests.integration.test_sending import OUTSIDER, mined_from
from tests.support.leaks import assert_no_leak
from tests.support.service import Service


def private_keys(service: Service, folder: Path) -> list[bytes]:
    """Every private key, opened with the master key."""
    master = load_key_file(folder / "custody.key")
    with service.store.reading() as unit:
        ids = [wallet.id for wallet in unit.wallets(owner_id=None, limit=200)]
        opened = [_open_own(master, key) for key in unit.sealed_keys(ids).values()]
    assert all(opened)
    return [bytes(key) for key in opened if key]


def sqlite_at_rest(folder: Path) -> list[Path | bytes]:
    """The database's files, and its dump."""
    connection = sqlite3.connect(folder / "custody.db")
    dump = "\n".join(connection.iterdump()).encode()
    connection.close()
    files = [path for path in folder.iterdir() if path.name.startswith("custody.db")]
    assert {"custody.db", "custody.db-wal"} <= {path.name for path in files}
    return [*files, dump]


def postgresql_at_rest(service: Service) -> list[Path | bytes]:
    """Every row of every table, as text."""
    with service.store.engine.connect() as connection:
        tables = connection.execute(text("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")).scalars().all()
        rows = [row for name in tables for row in connection.execute(text(f'SELECT t::text FROM "{name}" AS t')).scalars()]  # noqa: S608
    assert any("wal_" in row for row in rows)
    return ["\n".join(rows).encode()]


def test_k_01_no_key_is_in_the_database_its_log_or_its_dump(service: Service, tmp_path: Path) -> None:
    wallet = service.wallet(funded_wei=ether("1"))
    service.custody.transactions.send(wallet.id, to=OUTSIDER, amount=ether("0.1"), idempotency_key="k-01")
    service.custody.tick()
    service.finalize()
    secrets = [*private_keys(service, tmp_path), load_key_file(tmp_path / "custody.key").newest()[1]]
    database = sqlite_at_rest(tmp_path) if service.store.engine.dialect.name == "sqlite" else postgresql_at_rest(service)
    told = repr(service.observer).encode()
    assert_no_leak([*database, told], secrets)


TAMPERINGS = {
    "k_02_another_wallets_ciphertext": (
        "UPDATE sealed_keys SET sealed = (SELECT sealed FROM sealed_keys AS other WHERE other.wallet_id = :other) "
        "WHERE wallet_id = :own"
    ),
    "k_03_one_byte_flipped": "UPDATE sealed_keys SET sealed = :flipped WHERE wallet_id = :own",
    "k_04_another_address": "UPDATE sealed_keys SET address = :stranger WHERE wallet_id = :own",
    "k_04_another_key_version": "UPDATE sealed_keys SET key_version = key_version + 1 WHERE wallet_id = :own",
}


def tamper(service: Service, statement: str, own: Wallet, other: Wallet) -> None:
    with service.store.reading() as unit:
        sealed = bytearray(unit.sealed_keys([own.id])[own.id].sealed)
    sealed[-1] ^= 1
    values = {"own": own.id, "other": other.id, "flipped": bytes(sealed), "stranger": OUTSIDER}
    wanted = {name: value for name, value in values.items() if f":{name}" in statement}
    with service.store.engine.connect() as connection, connection.begin():
        assert connection.execute(text(statement), wanted).rowcount == 1


@pytest.mark.parametrize("statement", TAMPERINGS.values(), ids=TAMPERINGS.keys())
def test_a_tampered_key_signs_nothing_and_raises_an_alarm(service: Service, statement: str) -> None:
    alice, bob = service.wallet("alice", funded_wei=ether("1")), service.wallet("bob", funded_wei=ether("1"))
    tamper(service, statement, alice, bob)
    sent = service.custody.transactions.send(alice.id, to=OUTSIDER, amount=ether("0.1"), idempotency_key="tampered")
    service.custody.tick()
    waiting = service.outgoing(sent.id)
    assert (waiting.state, waiting.parked_reason, waiting.nonce) == (TransactionState.QUEUED, "key-integrity", None)
    assert mined_from(service.node, alice.address) == []
    service.clock.advance(60)
    service.custody.tick()
    assert service.event_types(sent.id).count("alarm.raised") == 1, "one alarm, not one for each try"
    # Nobody else is held up.
    paid = service.custody.transactions.send(bob.id, to=OUTSIDER, amount=ether("0.1"), idempotency_key="sound")
    service.custody.tick()
    service.finalize()
    if "other" not in statement:
        assert service.outgoing(paid.id).state is TransactionState.COMPLETED


def test_k_02_swapped_ciphertexts_are_refused_on_both_sides_with_alarm_and_audit(service: Service) -> None:
    wallets = service.wallet("alice", funded_wei=ether("1")), service.wallet("bob", funded_wei=ether("1"))
    with service.store.reading() as unit:
        sealed = {id_: key.sealed for id_, key in unit.sealed_keys([wallet.id for wallet in wallets]).items()}
    with service.store.engine.connect() as connection, connection.begin():
        for own, other in (wallets, reversed(wallets)):
            values = {"own": own.id, "sealed": sealed[other.id]}
            connection.execute(text("UPDATE sealed_keys SET sealed = :sealed WHERE wallet_id = :own"), values)
    ids = [
        service.custody.transactions.send(wallet.id, to=OUTSIDER, amount=ether("0.1"), idempotency_key="swapped").id
        for wallet in wallets
    ]
    service.custody.tick()
    assert [service.outgoing(id_).parked_reason for id_ in ids] == ["key-integrity", "key-integrity"]
    assert [mined_from(service.node, wallet.address) for wallet in wallets] == [[], []]
    for id_ in ids:
        assert service.event_types(id_).count("alarm.raised") == 1
        audit = service.custody.audit.list(limit=1000)
        assert [row.detail["code"] for row in audit if row.object_id == id_ and row.action == "alarm.raised"] == ["key-integrity"]
    service.assert_reconciled()


def test_k_04_whole_rows_swapped_between_wallets_are_refused_on_both_sides(service: Service) -> None:
    alice, bob = service.wallet("alice", funded_wei=ether("1")), service.wallet("bob", funded_wei=ether("1"))
    with service.store.engine.connect() as connection, connection.begin():
        for own, other in ((alice.id, "swap"), (bob.id, alice.id), ("swap", bob.id)):
            connection.execute(
                text("UPDATE sealed_keys SET wallet_id = :other WHERE wallet_id = :own"), {"own": own, "other": other}
            )
    ids = [
        service.custody.transactions.send(wallet.id, to=OUTSIDER, amount=ether("0.1"), idempotency_key="swapped").id
        for wallet in (alice, bob)
    ]
    service.custody.tick()
    assert [service.outgoing(id_).parked_reason for id_ in ids] == ["key-integrity", "key-integrity"]
    assert [mined_from(service.node, wallet.address) for wallet in (alice, bob)] == [[], []]
    broken = {check.id: check.violations for check in service.custody.reconcile().checks if not check.ok}
    assert broken.keys() == {"INV-15"}
    assert len(broken["INV-15"]) == 2
