"""From which amount on two nodes have to agree, as a setting."""

from __future__ import annotations

import pytest

from custody_app.config import ConfigurationError, load_settings

ONE = "https://one.example/v3/s3cr3t"
TWO = f"{ONE},https://two.example"


def test_nothing_is_cross_checked_by_itself() -> None:
    assert load_settings({"CUSTODY_RPC_URL": TWO}).cross_check_min_wei is None


@pytest.mark.parametrize("wei", [0, 10**18])
def test_with_two_nodes_any_amount_may_be_set(wei: int) -> None:
    settings = load_settings({"CUSTODY_RPC_URL": TWO, "CUSTODY_CROSS_CHECK_MIN_WEI": str(wei)})
    assert settings.cross_check_min_wei == wei


@pytest.mark.parametrize("urls", [ONE, f"{ONE},{ONE}"])
def test_one_node_cannot_check_itself(urls: str) -> None:
    with pytest.raises(ConfigurationError, match="CUSTODY_CROSS_CHECK_MIN_WEI needs two nodes") as refused:
        load_settings({"CUSTODY_RPC_URL": urls, "CUSTODY_CROSS_CHECK_MIN_WEI": "1"})
    assert "s3cr3t" not in str(refused.value)


@pytest.mark.parametrize("text", ["-1", "1e18", "1.5", "", "all"])
def test_what_is_no_amount_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="CUSTODY_CROSS_CHECK_MIN_WEI"):
        load_settings({"CUSTODY_RPC_URL": TWO, "CUSTODY_CROSS_CHECK_MIN_WEI": text})
