"""The PostgreSQL that tests crash: a kill is one of all of its processes at once."""

from __future__ import annotations

import subprocess

import psycopg
import pytest

from tests.support.postgres import PostgresNotFound, PostgresServer
from tests.support.waiting import until


def is_running(process: int) -> bool:
    """Whether it is there and not only waiting to be buried."""
    ask = ["ps", "-o", "stat=", "-p", str(process)]
    told = subprocess.run(ask, capture_output=True, text=True, check=False, timeout=30).stdout
    return bool(told.strip()) and not told.startswith("Z")


def test_a_kill_leaves_no_process_of_the_server() -> None:
    try:
        server = PostgresServer()
    except PostgresNotFound as problem:
        pytest.skip(str(problem))
    with server:
        connections = [psycopg.connect(server.url) for _ in range(3)]
        family = [row[0] for row in server.execute("SELECT pid FROM pg_stat_activity WHERE pid <> pg_backend_pid()")]
        assert len(family) > len(connections), "its own helpers are listed, too"
        server.kill()
        until(lambda: not [each for each in family if is_running(each)], what="every process of the server is gone", timeout_s=5)
        for connection in connections:
            with pytest.raises(psycopg.OperationalError):
                connection.execute("SELECT 1")
            connection.close()
        server.start()
        assert server.execute("SELECT 1") == [(1,)]
