"""A service starts on what is right, and is refused clearly, with nothing written, on what is not."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from custody_app import open_custody
from custody_app.bootstrap import open_node
from custody_app.config import ConfigurationError, load_settings
from custody_core import NodeUnavailable
from custody_core.errors import KeyIntegrity
from custody_keys.key_file import make_key_file
from tests.support.devnode import DevNode
from tests.support.program import Program
from tests.unit.adapters.custody_rpc.rude_server import SECRET, RudeServer, results
from tests.unit.contracts.store.given import at_once


@pytest.fixture
def ours() -> Iterator[RudeServer]:
    with RudeServer(results("0x1"), chain_id=1) as server:
        yield server


@pytest.fixture
def foreign() -> Iterator[RudeServer]:
    with RudeServer(results("0x5"), chain_id=5) as server:
        yield server


@pytest.fixture
def dead_url() -> Iterator[str]:
    """Nobody listens there."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}/v3/{SECRET}"


def open_nodes(*urls: str) -> None:
    settings = load_settings({"CUSTODY_RPC_URL": ",".join(urls), "CUSTODY_CHAIN_ID": "1", "CUSTODY_CONFIRMATIONS": "12"})
    with open_node(settings.chains[0], settings):
        pass


# Nodes


def test_every_node_of_a_chain_must_be_on_it(ours: RudeServer, foreign: RudeServer) -> None:
    open_nodes(ours.url, ours.url)
    with pytest.raises(ConfigurationError, match="node 2 of the 2 of chain mainnet is on chain 5, the settings say 1") as refused:
        open_nodes(ours.url, foreign.url)
    assert SECRET not in refused.value.detail


def test_of_several_nodes_one_has_to_answer(ours: RudeServer, dead_url: str) -> None:
    open_nodes(dead_url, ours.url)
    with pytest.raises(NodeUnavailable, match="does not answer") as refused:
        open_nodes(dead_url, dead_url)
    assert SECRET not in refused.value.detail
    assert refused.value.detail.count("http://127.0.0.1:") == 1


@pytest.mark.parametrize("number", ["9" * 5000, "0x" + "f" * 5000])
def test_a_number_without_end_in_the_file_is_refused(tmp_path: Path, number: str) -> None:
    (tmp_path / "custody.toml").write_text(f"dust_wei = {number}")
    with pytest.raises(ConfigurationError):
        load_settings({"CUSTODY_CONFIG": str(tmp_path / "custody.toml")})


# Chain ids


def test_the_node_names_the_chain_only_where_nobody_else_does(tmp_path: Path, foreign: RudeServer) -> None:
    opened = partial(open_custody, database_url=f"sqlite:///{tmp_path / 'custody.db'}", key_file=tmp_path / "custody.key")
    config = tmp_path / "custody.toml"
    config.write_text(f'[chains.main]\nrpc_url = "{foreign.url}"\nchain_id = 1\n')
    given: list[dict[str, str | int | float | bool]] = [{"rpc_url": foreign.url, "chain_id": 1}, {"config": str(config)}]
    for settings in given:
        with (
            pytest.raises(ConfigurationError, match="on chain 5, the settings say 1"),
            opened(settings=settings),
        ):
            pass
    with opened(rpc_url=foreign.url, confirmations=12) as custody:
        assert list(custody.chain_ids) == [5]


def test_a_library_follows_several_chains(tmp_path: Path, ours: RudeServer, foreign: RudeServer) -> None:
    config = tmp_path / "custody.toml"
    tables = [
        f'[chains.c{number}]\nrpc_url = "{server.url}"\nchain_id = {number}\nconfirmations = 12\n'
        for number, server in ((1, ours), (5, foreign))
    ]
    config.write_text("".join(tables))
    with open_custody(
        database_url=f"sqlite:///{tmp_path / 'custody.db'}", key_file=tmp_path / "custody.key", settings={"config": str(config)}
    ) as custody:
        assert sorted(custody.chain_ids) == [1, 5]


# Two at once


def test_two_first_starts_at_once_share_what_is_made(tmp_path: Path, node: DevNode) -> None:
    program = Program(tmp_path, {"RPC_URL": node.rpc_url, "CHAIN_ID": str(node.chain_id), "KEY_POOL_SIZE": "2"})
    done = at_once(*[lambda: program.run("init", "--json")] * 2)
    assert [each.code for each in done] == [0, 0], done
    assert [each.data["key_file"]["made"] for each in done].count(True) == 1
    assert program.run("doctor").code == 0


def test_the_key_file_of_another_start_is_used_once_it_is_written(tmp_path: Path, ours: RudeServer) -> None:
    key_file, database_url = tmp_path / "custody.key", f"sqlite:///{tmp_path / 'custody.db'}"
    made = tmp_path / "made"
    make_key_file(made)
    key_file.touch(mode=0o600)
    writing = threading.Timer(0.3, lambda: key_file.write_bytes(made.read_bytes()))
    writing.start()
    with open_custody(database_url=database_url, rpc_url=ours.url, confirmations=12, key_file=key_file):
        pass
    writing.join()
    other = tmp_path / "other"
    make_key_file(other)
    with (
        pytest.raises(KeyIntegrity),
        open_custody(database_url=database_url, rpc_url=ours.url, confirmations=12, key_file=other),
    ):
        pass


def test_doctor_names_the_node_that_does_not_answer(tmp_path: Path, node: DevNode, dead_url: str) -> None:
    program = Program(
        tmp_path,
        {
            "DATABASE_URL": f"sqlite:///{tmp_path / 'custody.db'}",
            "KEY_FILE": str(tmp_path / "custody.key"),
            "RPC_URL": f"{node.rpc_url},{dead_url}",
            "CHAIN_ID": str(node.chain_id),
        },
    )
    program.run("init", "--no-input")
    told = program.run("doctor")
    assert f"of 2 nodes not all do: {dead_url.partition('/v3')[0]}" in told.out
    assert SECRET not in told.out + told.err
