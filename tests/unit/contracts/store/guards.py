"""What the database itself forbids, to those who come by SQL and to services that are wrong; in SQLite's words."""

from __future__ import annotations

from custody_core.domain.audit import GENESIS_HASH, seal
from custody_core.ports import Store
from tests.support import factories as make
from tests.unit.contracts.store import given

FORBIDDEN = [
    "UPDATE posting_groups SET height = 7",
    "UPDATE postings SET delta = '1'",
    "UPDATE decisions SET verdict = 'allow'",
    "DELETE FROM posting_groups",
    "DELETE FROM postings",
    "DELETE FROM decisions",
    "DELETE FROM audit",
    "DELETE FROM events",
    "DELETE FROM attempts",
    "DELETE FROM transactions",
    "DELETE FROM deposits",
    "DELETE FROM headers",
    # An audit row or an event changes once: when it is numbered.
    "UPDATE audit SET actor = 'nobody' WHERE sequence IS NULL",
    "UPDATE audit SET actor = 'nobody' WHERE sequence = 1",
    "UPDATE audit SET hash = x'00' WHERE sequence = 1",
    "UPDATE audit SET sequence = NULL, hash = NULL WHERE sequence = 1",
    "UPDATE audit SET sequence = 2 WHERE sequence IS NULL",
    "UPDATE events SET sequence = 2 WHERE sequence = 1",
    "UPDATE events SET data = '{}' WHERE sequence IS NULL",
    # A nonce and signed bytes are for ever.
    "UPDATE transactions SET nonce = 1 WHERE nonce = 0",
    "UPDATE transactions SET nonce = NULL",
    "UPDATE transactions SET nonce = -1 WHERE nonce IS NULL",
    "UPDATE attempts SET raw = x'02'",
    "UPDATE attempts SET raw = NULL, hash = NULL",
    "UPDATE attempts SET hash = 'other'",
    "UPDATE attempts SET id = 'other'",
    # What belongs to an owner does not go below zero.
    "UPDATE accounts SET balance = '-1' WHERE kind = 'available'",
    "UPDATE accounts SET balance = '-1' WHERE kind = 'reserved'",
    "UPDATE accounts SET kind = 'external' WHERE kind = 'available'",
    "UPDATE accounts SET wallet_id = NULL WHERE kind = 'available'",
    "INSERT INTO postings VALUES ('none', 'deposit-credited', 0, 1, '5')",
    "INSERT INTO postings SELECT reference, reason, 9, account_id, '0' FROM postings LIMIT 1",
    # Unique keys.
    "UPDATE transactions SET external_id = 'x'",
    "UPDATE deposits SET transaction_hash = 'h', sender = 's', amount = '1'",
    "UPDATE headers SET number = 1",
    "INSERT INTO posting_groups SELECT position + 9, chain_id, reference, reason, posted_at, height FROM posting_groups",
    "INSERT INTO accounts SELECT id + 9, chain_id, asset, kind, wallet_id, '0' FROM accounts WHERE wallet_id IS NULL",
    "INSERT INTO accounts SELECT id + 9, chain_id, asset, kind, wallet_id, '0' FROM accounts WHERE kind = 'reserved'",
    "INSERT INTO policies SELECT 'pol_2', layer, subject, document, published_at, active FROM policies",
    "UPDATE wallets SET address = 'one'",
    "UPDATE sealed_keys SET address = 'one'",
    # Rows without their parents.
    "UPDATE transactions SET wallet_id = 'wal_none'",
    "UPDATE deposits SET wallet_id = 'wal_none'",
    "UPDATE wallets SET owner_id = 'usr_none'",
    "UPDATE sealed_keys SET wallet_id = 'wal_none' WHERE rowid = 1",
    "DELETE FROM wallets",
    "DELETE FROM accounts",
]
"""Statements that a filled database refuses, each of which meets a row."""

ALLOWED = [
    "UPDATE audit SET sequence = 2, hash = x'01' WHERE sequence IS NULL",
    "UPDATE events SET sequence = 2 WHERE sequence IS NULL",
    "UPDATE transactions SET nonce = 1 WHERE nonce IS NULL",
    "UPDATE attempts SET state = 'sent'",
    "UPDATE accounts SET balance = '-1' WHERE kind = 'external'",
]
"""Statements that it takes."""


def fill(store: Store) -> None:
    """Puts a row or two into every table that is guarded."""
    first, second = given.wallet(store), given.wallet(store)
    sent = make.broadcasting(first, nonce=0, external_id="x")
    with store.transaction() as unit:
        unit.add_transactions([sent])
        unit.add_transactions([make.transaction(first, external_id="y")])
        unit.add_transactions([make.broadcasting(second, nonce=0)])
        unit.add_decisions([make.decision(sent, nonce=0)])
        deposit = make.deposit(first)
        unit.add_deposits([deposit, make.deposit(first)])
        unit.post([make.credit(first), make.credit(second), make.hold(first, 5)])
        unit.add_chain(make.chain_state(), make.header(0))
        unit.add_headers(make.CHAIN_ID, [make.header(1)])
        unit.add_audit([make.audit_event(), make.audit_event()])
        unit.add_events([make.event(), make.event()])
        unit.publish_policy(make.policy())
    with store.transaction() as unit:
        unit.save_sealed_audit(seal(unit.unsealed_audit(1), last_sequence=0, last_hash=GENESIS_HASH))
        unit.number_events(1)
