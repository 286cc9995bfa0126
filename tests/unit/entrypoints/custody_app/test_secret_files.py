"""A secret may stand in a file of its own, in a chain's table too."""

from __future__ import annotations

from pathlib import Path

import pytest

from custody_app.config import ConfigurationError, Settings, load_settings

URL = "https://node.example/v3/KEY"


def settings_of(folder: Path, table: str) -> Settings:
    file = folder / "custody.toml"
    file.write_text(f"[chains.ours]\n{table}\n")
    return load_settings({"CUSTODY_CONFIG": str(file)})


def test_a_chains_node_may_stand_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "node").write_text(f"{URL}\n")
    (chain,) = settings_of(tmp_path, f'rpc_url_file = "{tmp_path / "node"}"\nchain_id = 1').chains
    assert (chain.rpc_urls, chain.chain_id) == ((URL,), 1)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (f'rpc_url = "{URL}"\nrpc_url_file = "x"', r"set either rpc_url of \[chains.ours\] or rpc_url_file of \[chains.ours\]"),
        ('rpc_url_file = "/no/such/file"', r"rpc_url_file of \[chains.ours\] names cannot be read"),
        ('chain_id_file = "x"', r"\[chains.ours\] has no setting chain_id_file"),
    ],
)
def test_what_is_wrong_with_a_file_is_told_without_its_name(tmp_path: Path, table: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message) as refusal:
        settings_of(tmp_path, table)
    assert "KEY" not in str(refusal.value)
    assert "/no/such" not in str(refusal.value)
