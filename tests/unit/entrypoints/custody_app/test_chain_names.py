"""What chains are called: by their table in the settings, by their common name, or by their id."""

from __future__ import annotations

from pathlib import Path

import pytest

from custody_app.config import load_settings


@pytest.mark.parametrize(
    ("chain_id", "name"),
    [(None, "sepolia"), ("1", "mainnet"), ("560048", "hoodi"), ("8453", "base"), ("31337", "local"), ("100", "eip155:100")],
)
def test_a_single_chain_has_its_common_name_or_its_id(chain_id: str | None, name: str) -> None:
    given = {} if chain_id is None else {"CUSTODY_CHAIN_ID": chain_id}
    (chain,) = load_settings({"CUSTODY_RPC_URL": "https://node.example", **given}).chains
    assert chain.name == name


def test_a_table_names_its_chain(tmp_path: Path) -> None:
    file = tmp_path / "custody.toml"
    file.write_text('[chains.ours]\nchain_id = 1\nrpc_url = "https://a.example"\n[chains.sepolia]\nrpc_url = "https://b.example"\n')
    chains = load_settings({"CUSTODY_CONFIG": str(file)}).chains
    assert {chain.name: chain.chain_id for chain in chains} == {"ours": 1, "sepolia": 11155111}
