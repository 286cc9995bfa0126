"""Balances that are acted upon: where there are several nodes, as two of them show them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from custody_core.domain.addresses import Address
from custody_core.domain.chain import BlockRef
from custody_core.domain.corroboration import NODES_NEEDED
from custody_core.ports import Answer, Chain, Found


def balances_told(chain: Chain, holders: Sequence[tuple[Address, Address | None]], at: BlockRef) -> list[int | None]:
    """What the node shows of each (holder, token) at that block, None where it does not say."""
    answers = chain.balances(holders, at)
    return [answer.value if isinstance(answer, Found) else None for answer in answers]


def balances_vouched(chain: Chain, holders: Sequence[tuple[Address, Address | None]], at: BlockRef) -> list[int | None]:
    """The same, where there are several nodes as two of them show it."""
    witnesses = chain.witnesses
    if len(witnesses) < NODES_NEEDED:
        return balances_told(chain, holders, at)
    said = [witness.balances(holders, at) for witness in witnesses]
    return [_said_by_two(answers) for answers in zip(*said, strict=True)]


def requests_to_vouch(chain: Chain) -> int:
    """How many requests `balances_vouched` sends."""
    witnesses = len(chain.witnesses)
    return witnesses if witnesses >= NODES_NEEDED else 1


def _said_by_two(answers: Sequence[Answer[int]]) -> int | None:
    """The balance that enough nodes show."""
    (most,) = Counter(answer.value for answer in answers if isinstance(answer, Found)).most_common(1) or [(0, 0)]
    return most[0] if most[1] >= NODES_NEEDED else None
