"""The root of a list in a Merkle Patricia trie, as a header names its transactions and receipts (Yellow Paper, appendix D)."""

from __future__ import annotations

from collections.abc import Sequence

from custody_core.domain.encoding import RlpValue, keccak256, rlp_encode

EMPTY_ROOT = keccak256(rlp_encode(b""))

Pairs = Sequence[tuple[str, bytes]]
"""Keys in hexadecimal digits, ascending, and their values."""


def list_root(values: Sequence[bytes]) -> bytes:
    """The root of the trie from each index, RLP-encoded, to its value."""
    if not values:
        return EMPTY_ROOT
    pairs = sorted((rlp_encode(index).hex(), value) for index, value in enumerate(values))
    return keccak256(rlp_encode(_node(pairs, 0)))


def _node(pairs: Pairs, depth: int) -> RlpValue:
    """The node that holds `pairs`, which are alike in their first `depth` digits. No key is the beginning of another."""
    first, last = pairs[0][0], pairs[-1][0]
    if len(pairs) == 1:
        return [_compact(first[depth:], is_leaf=True), pairs[0][1]]
    shared = depth
    while first[shared] == last[shared]:
        shared += 1
    if shared > depth:
        return [_compact(first[depth:shared], is_leaf=False), _reference(pairs, shared)]
    children: list[RlpValue] = []
    for digit in "0123456789abcdef":
        below = [pair for pair in pairs if pair[0][depth] == digit]
        children.append(_reference(below, depth + 1) if below else b"")
    return [*children, b""]


def _reference(pairs: Pairs, depth: int) -> RlpValue:
    """A node as its parent holds it: itself where it is shorter than its hash."""
    node = _node(pairs, depth)
    encoded = rlp_encode(node)
    return node if len(encoded) < 32 else keccak256(encoded)


def _compact(digits: str, *, is_leaf: bool) -> bytes:
    """Hexadecimal digits as bytes; the first half byte says whether their number is odd and the node a leaf."""
    flag = 2 * is_leaf + len(digits) % 2
    return bytes.fromhex(f"{flag:x}{'' if len(digits) % 2 else '0'}{digits}")
