"""Comparing the books with what the chain shows, at a final block (INV-1).

What the books say of a wallet up to the final block F is what they say at all in the moment in which F is the final block: every
movement on the chain is posted in the commit that makes its block final. So one reading unit gives F and the sums that belong to
it, and the node is asked for exactly that block, by its hash. What differs is asked for a second time, of two nodes where there are
several, and then booked (`booking.py`).

Where a wallet has nothing of a token in the books, nothing should be there. A transfer that was missed, or came before the token
was listed, shows in no other way. So every listed token is compared for every wallet; how many of them at a time the caller says.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial

import attrs

from custody_core.domain.addresses import Address
from custody_core.domain.chain import BlockRef, ChainState
from custody_core.domain.ledger import WalletAccounts
from custody_core.domain.resources import chain_text
from custody_core.domain.tokens import NATIVE_ALIAS, TokenState
from custody_core.domain.wallet import Wallet
from custody_core.errors import NotFound
from custody_core.ports import Chain, Unit
from custody_core.services.booking import Booking, Held, Seen, held_in
from custody_core.services.kit import Kit
from custody_core.services.open_deficits import open_deficits
from custody_core.services.vouched import balances_told, balances_vouched, requests_to_vouch

BALANCES_PER_REQUEST = 100

_TRIES_MAX = 5
"""How often a difference is looked at again because a block became final meanwhile."""


@attrs.frozen
class Slice:
    """Some wallets, compared: how many of them, the last one's id, requests that the node was sent, the final block at which, and
    what violates INV-1.
    """

    wallets: int
    last_wallet_id: str
    requests: int
    block: BlockRef
    violations: tuple[str, ...]
    is_last: bool
    """Whether there are no wallets after these."""


@attrs.frozen
class _Line:
    """One asset of one wallet, and the sum of its accounts at the final block."""

    wallet: Wallet
    asset: str
    booked: int

    @property
    def holder(self) -> tuple[Address, Address | None]:
        return self.wallet.address, None if self.asset == NATIVE_ALIAS else Address(self.asset)


def listed_tokens(unit: Unit, chain_id: int) -> list[str]:
    """The asset keys of the tokens that are listed now, in order."""
    return sorted(token.asset.key for token in unit.tokens(chain_id) if token.state is TokenState.LISTED)


def compare_after(kit: Kit, chain: Chain, wallet_id: str, *, tokens: Sequence[str] = (), requests: int = 1) -> Slice | None:
    """Compares the next wallets by id in ether, in what they have in the books, and in `tokens` (asset keys); None after the last
    wallet. They are as many as that many requests to the node are enough for, and one at least.

    Raises `NotFound` where the chain is not followed yet.
    """
    balances_max = requests * BALANCES_PER_REQUEST
    wallets_max = max(balances_max // (1 + len(tokens)), 1)

    def work(unit: Unit) -> tuple[ChainState | None, Sequence[tuple[Wallet, Mapping[str, int]]], frozenset[tuple[str, str]]]:
        page = unit.wallet_totals(chain.chain_id, after_wallet_id=wallet_id, limit=wallets_max)
        return unit.chain(chain.chain_id), page, open_deficits(unit, chain.chain_id)

    state, page, deficits = kit.read(work)
    if state is None:
        raise NotFound(f"{chain_text(chain.chain_id)} is not followed")
    if not page:
        return None
    lines = _lines(page, tokens, balances_max)
    comparison = _Comparison(kit, chain, deficits)
    violations = [
        violation
        for start in range(0, len(lines), BALANCES_PER_REQUEST)
        for violation in comparison.run(lines[start : start + BALANCES_PER_REQUEST], state.final)
    ]
    wallets = len({line.wallet.id for line in lines})
    return Slice(
        wallets=wallets,
        last_wallet_id=lines[-1].wallet.id,
        requests=comparison.requests,
        block=state.final,
        violations=tuple(violations),
        is_last=len(page) < wallets_max and wallets == len(page),
    )


def _lines(page: Sequence[tuple[Wallet, Mapping[str, int]]], tokens: Sequence[str], lines_max: int) -> list[_Line]:
    """So many at most, of whole wallets, and one of them at least."""
    lines: list[_Line] = []
    for wallet, totals in page:
        everywhere = {NATIVE_ALIAS: 0, **dict.fromkeys(tokens, 0)}
        of_wallet = [_Line(wallet, asset, booked) for asset, booked in {**everywhere, **totals}.items()]
        if lines and len(lines) + len(of_wallet) > lines_max:
            break
        lines += of_wallet
    return lines


class _Comparison:
    """What was asked of one chain's node, and what came of it."""

    def __init__(self, kit: Kit, chain: Chain, deficits: frozenset[tuple[str, str]]) -> None:
        self._kit = kit
        self._chain = chain
        self._deficits = deficits
        self.requests = 0

    def run(self, lines: Sequence[_Line], final: BlockRef) -> Iterator[str]:
        suspects = []
        for line, on_chain in zip(lines, self._on_chain(lines, final), strict=True):
            if on_chain is None:
                yield self._silent(line, final)
            elif on_chain != line.booked or (line.wallet.id, line.asset) in self._deficits:
                suspects.append(line)
        yield from self._look_again(suspects)

    def _look_again(self, suspects: Sequence[_Line]) -> Iterator[str]:
        """Books what differs; says what cannot be booked."""
        for _ in range(_TRIES_MAX):
            if not suspects:
                return
            state, held = self._kit.read(partial(self._read, lines=suspects))
            overtaken = []
            answers = self._vouched(suspects, state.final)
            for line, in_books, on_chain in zip(suspects, held, answers, strict=True):
                if on_chain is None:
                    yield self._silent(line, state.final)
                    continue
                booking = self._booking(line, Seen(state, in_books, on_chain))
                if not self._kit.write(booking.run):
                    overtaken.append(line)
                elif booking.violation is not None:
                    yield booking.violation
            suspects = overtaken
        for line in suspects:
            name = chain_text(self._chain.chain_id)
            yield f"{name}: blocks become final faster than {line.wallet.address} can be compared with the books"

    def _booking(self, line: _Line, seen: Seen) -> Booking:
        accounts = WalletAccounts(self._chain.chain_id, line.asset, line.wallet.id)
        if seen.difference.surplus and line.asset != NATIVE_ALIAS:
            seen = attrs.evolve(seen, moved_by_itself=not self._held_before(line, accounts, seen.difference.surplus))
        return Booking(self._kit, line.wallet, accounts, seen)

    def _held_before(self, line: _Line, accounts: WalletAccounts, surplus: int) -> bool:
        """Whether so much of the token may have been there before the books knew of any: it came before the token was listed."""
        before = self._kit.read(lambda unit: _block_before(unit, accounts))
        (earlier,) = self._vouched([line], before) if before else [None]
        return earlier is None or earlier >= surplus

    def _read(self, unit: Unit, lines: Sequence[_Line]) -> tuple[ChainState, Sequence[Held]]:
        state = unit.chain(self._chain.chain_id)
        if state is None:
            raise NotFound(f"{chain_text(self._chain.chain_id)} is not followed")
        return state, [held_in(unit, WalletAccounts(state.chain_id, line.asset, line.wallet.id)) for line in lines]

    def _on_chain(self, lines: Sequence[_Line], at: BlockRef) -> Sequence[int | None]:
        """What the node shows at that block, None where it does not say."""
        self.requests += 1
        return balances_told(self._chain, [line.holder for line in lines], at)

    def _vouched(self, lines: Sequence[_Line], at: BlockRef) -> Sequence[int | None]:
        """The same, as two nodes show it where there are several: what differs from the books disables a token, and is booked."""
        self.requests += requests_to_vouch(self._chain)
        return balances_vouched(self._chain, [line.holder for line in lines], at)

    def _silent(self, line: _Line, final: BlockRef) -> str:
        name = chain_text(self._chain.chain_id)
        return f"{name}: the node does not say what {line.wallet.address} held at block {final.number}"


def _block_before(unit: Unit, accounts: WalletAccounts) -> BlockRef | None:
    """The block before the first that moved this asset of the wallet, as far as we have it."""
    height = unit.first_height(accounts.available)
    headers = [] if height is None else unit.headers(accounts.chain_id, first=height - 1, last=height - 1)
    return headers[0].ref if headers else None
