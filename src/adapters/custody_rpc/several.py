"""How the answers of several nodes become one.

Rules of this file

1. What is found outweighs what is absent, and that outweighs what is unknown: a node that has less is late more often than right.
2. Blocks and headers of two nodes are put together only where they link.
3. What a node alone says against what we know is believed when a second one says so too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeVar

import attrs

from custody_core.domain.chain import Header
from custody_core.ports import Absent, Answer, Found, Unknown
from custody_rpc.node import Node

R = TypeVar("R")

LATE_BLOCKS: Final = 32
"""A node whose head is this far below another one's is late, and what it calls final holds up nobody. One epoch of Ethereum."""


def better(old: Answer[R] | None, new: Answer[R]) -> Answer[R]:
    """Which of two nodes' answers to one question counts; of two that are unknown the later one."""
    is_worse = isinstance(old, Found) or (isinstance(old, Absent) and not isinstance(new, Found))
    return old if old is not None and is_worse else new


def linking(
    node: Node,
    numbers: Sequence[int],
    answers: Sequence[Answer[R]],
    header_of: Callable[[R], Header],
    found: dict[int, Header],
) -> list[Answer[R]]:
    """`answers`, with those unknown that are of another branch than `found`, the headers so far, which the others are added to."""
    checked: list[Answer[R]] = []
    for number, answer in zip(numbers, answers, strict=True):
        if isinstance(answer, Found):
            header, below, above = header_of(answer.value), found.get(number - 1), found.get(number + 1)
            if (below and header.parent_hash != below.hash) or (above and above.parent_hash != header.hash):
                checked.append(node.unknown(f"is on another branch at block {number}"))
                continue
            found[number] = header
        checked.append(answer)
    return checked


def highest(answers: Mapping[str, Answer[Header]]) -> Answer[Header]:
    """The highest of the headers; of equals the first."""
    found = [answer for answer in answers.values() if isinstance(answer, Found)]
    return max(found, key=lambda answer: answer.value.number) if found else _best(answers)


def lowest_in_time(answers: Mapping[str, Answer[Header]], heads: Mapping[str, int]) -> Answer[Header]:
    """The lowest of the headers that nodes gave which are not late, by their newest `heads`."""
    found = {name: answer for name, answer in answers.items() if isinstance(answer, Found)}
    newest = max((heads[name] for name in found if name in heads), default=0)
    in_time = [answer for name, answer in found.items() if heads.get(name, newest) > newest - LATE_BLOCKS]
    return min(in_time, key=lambda answer: answer.value.number) if in_time else _best(answers)


def _best(answers: Mapping[str, Answer[Header]]) -> Answer[Header]:
    best: Answer[Header] = Unknown("no node was asked")
    for answer in answers.values():
        best = better(best, answer)
    return best


@attrs.frozen
class Count:
    """What one node says: its head, and how many transactions of an address it knows."""

    node: str
    head: int
    count: int


def counts_in(heard: Mapping[str, Answer[tuple[int, Sequence[Answer[int]]]]], position: int) -> list[Count]:
    """What was heard, node by node, of the address at that position: (head, an answer per address)."""
    counts: list[Count] = []
    for node, answer in heard.items():
        if isinstance(answer, Found):
            head, of_each = answer.value
            count = of_each[position]
            counts += [Count(node, head, count.value)] if isinstance(count, Found) else []
    return counts


def vouched_count(counts: Sequence[Count], *, reserved: int) -> Answer[int]:
    """The highest count that two nodes vouch for. A node that is behind the one which knows more says nothing."""
    more = [each for each in counts if each.count > reserved]
    in_time = [each for each in counts if not more or each.head >= min(one.head for one in more)]
    if len(in_time) < 2:
        names = ", ".join(each.node for each in more) or "a node"
        return Unknown(f"{names} knows more than the {reserved} transactions that there should be, and no other node is heard")
    return Found(sorted((each.count for each in in_time), reverse=True)[1])
