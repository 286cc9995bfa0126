"""The setting of traces: for one chain or for each, and nothing but the three words."""

from __future__ import annotations

from pathlib import Path

import pytest

from custody_app.config import ConfigurationError, load_settings
from custody_app.doctor import settings_shown
from custody_core import Traces

NODE = {"CUSTODY_RPC_URL": "http://127.0.0.1:8545"}


@pytest.mark.parametrize("traces", Traces)
def test_each_word_is_read_and_shown(traces: Traces) -> None:
    settings = load_settings(NODE | {"CUSTODY_TRACES": traces.value})
    assert [chain.traces for chain in settings.chains] == [traces]
    assert f"'traces': '{traces}'" in str(settings_shown(settings))


def test_traces_are_read_where_there_are_any_unless_somebody_says_otherwise() -> None:
    assert load_settings(NODE).chains[0].traces is Traces.AUTO


@pytest.mark.parametrize("word", ["", "on", "AUTO", "true"])
def test_another_word_is_refused(word: str) -> None:
    with pytest.raises(ConfigurationError, match="CUSTODY_TRACES is auto, off, required"):
        load_settings(NODE | {"CUSTODY_TRACES": word})


def test_each_chain_has_its_own(tmp_path: Path) -> None:
    file = tmp_path / "custody.toml"
    node = 'rpc_url = "http://127.0.0.1:8545"'
    file.write_text(f'[chains.one]\nchain_id = 1\n{node}\ntraces = "required"\n[chains.two]\nchain_id = 2\n{node}\n')
    chains = load_settings({"CUSTODY_CONFIG": str(file)}).chains
    assert [chain.traces for chain in chains] == [Traces.REQUIRED, Traces.AUTO]
    with pytest.raises(ConfigurationError, match="not both"):
        load_settings({"CUSTODY_CONFIG": str(file), "CUSTODY_TRACES": "off"})
