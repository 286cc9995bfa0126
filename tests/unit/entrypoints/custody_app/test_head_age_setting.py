"""How old a node's newest block may be, as a setting."""

from __future__ import annotations

import pytest

from custody_app.config import HEAD_AGE_MAX_S, ConfigurationError, load_settings

URL = "https://one.example"


def age_s(**texts: str) -> int | None:
    (chain,) = load_settings({"CUSTODY_RPC_URL": URL} | {f"CUSTODY_{name}": text for name, text in texts.items()}).chains
    return chain.head_age_max_s


def test_two_hours_unless_a_dev_chain_makes_blocks_on_demand() -> None:
    assert age_s() == age_s(CHAIN_ID="1") == HEAD_AGE_MAX_S == 7200
    assert age_s(CHAIN_ID="31337") is None


@pytest.mark.parametrize("chain_id", ["1", "31337"])
@pytest.mark.parametrize(("text", "seconds"), [("600", 600), ("0", None)])
def test_what_is_set_counts(chain_id: str, text: str, seconds: int | None) -> None:
    assert age_s(CHAIN_ID=chain_id, HEAD_AGE_MAX_S=text) == seconds


@pytest.mark.parametrize("text", ["-1", "2h", "1.5", "", "9" * 30])
def test_what_is_no_age_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="CUSTODY_HEAD_AGE_MAX_S"):
        age_s(HEAD_AGE_MAX_S=text)
