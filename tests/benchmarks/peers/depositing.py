"""P8: the same rows by SQLAlchemy's ORM, and by COPY, into a table like ours."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import count
from typing import Any

import psycopg
from sqlalchemy import create_engine, text
from sqlalchemy.ext.automap import automap_base
from sqlalchemy.orm import Session

from tests.benchmarks.peers.serving import serve

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Peers:
    """Both write to `peer_deposits`, which has the columns, types, indexes and checks of `deposits`."""

    def prepare(self, url: str, wallets: Sequence[str]) -> None:
        """Makes the table."""
        self._wallets, self._numbers = wallets, count(1)
        self._engine = create_engine(url)
        with self._engine.begin() as connection:
            connection.execute(text("CREATE TABLE peer_deposits (LIKE deposits INCLUDING ALL)"))
            connection.execute(text("ALTER TABLE peer_deposits ADD FOREIGN KEY (wallet_id) REFERENCES wallets (id)"))
        base = automap_base()
        base.prepare(self._engine, reflection_options={"only": ["peer_deposits"]})
        self._model = base.classes.peer_deposits
        self._connection = psycopg.connect(url.replace("postgresql+psycopg", "postgresql"))

    def add_all(self, batch: int, batches: int) -> float:
        """Rows a second, the making of the objects included."""
        rows = [[self._row() for _ in range(batch)] for _ in range(batches)]
        start = time.perf_counter()
        for each in rows:
            with Session(self._engine) as session, session.begin():
                session.add_all([self._model(**row) for row in each])
        return batch * batches / (time.perf_counter() - start)

    def copy(self, batch: int, batches: int) -> float:
        """Rows a second."""
        rows = [[self._row() for _ in range(batch)] for _ in range(batches)]
        names = ", ".join(f'"{name}"' for name in rows[0][0])
        ready = [[tuple(row.values()) for row in each] for each in rows]
        start = time.perf_counter()
        for each in ready:
            with self._connection.cursor() as cursor, cursor.copy(f"COPY peer_deposits ({names}) FROM STDIN") as copied:
                for row in each:
                    copied.write_row(row)
            self._connection.commit()
        return batch * batches / (time.perf_counter() - start)

    def _row(self) -> dict[str, Any]:
        number = next(self._numbers)
        return {
            "id": f"txn_{number:026d}",
            "chain_id": 1,
            "transaction_hash": f"0x{number:064x}",
            "kind": "native",
            "asset": "eth",
            "sender": "0x" + "55" * 20,
            "to": "0x" + "77" * 20,
            "amount": 10**18 + number,
            "ordinal": 0,
            "alias": "eth",
            "decimals": 18,
            "wallet_id": self._wallets[number % len(self._wallets)],
            "state": "confirming",
            "block_number": number // 100,
            "block_hash": f"0x{number // 100:064x}",
            "block_timestamp": NOW,
            "created_at": NOW,
            "updated_at": NOW,
            "version": 1,
        }


if __name__ == "__main__":
    peers = Peers()
    serve({"prepare": peers.prepare, "add_all": peers.add_all, "copy": peers.copy})
