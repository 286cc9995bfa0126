"""A service in memory, on a chain that the test scripts."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.unit.core.services.bench import Bench, opened


@pytest.fixture
def bench() -> Iterator[Bench]:
    with opened() as made:
        yield made
