"""The limit on gas, as a setting."""

from __future__ import annotations

import pytest

from custody_app.config import ConfigurationError, load_settings


def test_no_limit_is_that_of_eip_7825() -> None:
    assert load_settings({}).max_gas_limit == 2**24


@pytest.mark.parametrize("text", ["21000", "200000", str(2**24)])
def test_a_limit_may_be_lower(text: str) -> None:
    assert load_settings({"CUSTODY_MAX_GAS_LIMIT": text}).max_gas_limit == int(text)


@pytest.mark.parametrize("text", ["0", "20999", str(2**24 + 1), "-1", "1e6", "", "many"])
def test_what_allows_nothing_or_more_than_the_chain_does_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="CUSTODY_MAX_GAS_LIMIT"):
        load_settings({"CUSTODY_MAX_GAS_LIMIT": text})
