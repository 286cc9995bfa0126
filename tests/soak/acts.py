"""What strangers do to our wallets: what pays them, and what only looks as if it did."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence

import attrs

from tests.support.contracts import calldata, deploy, transact
from tests.support.devnode import DevNode

AT_ONCE = 10
"""How many look-alikes one transaction makes."""

AMOUNT_MAX_WEI = 6 * 10**15
AMOUNT_MIN_WEI = 10**6
TOKEN_AMOUNT_MAX = 10**6
PLAIN_GAS = 21_000
GAS = 300_000
GAS_AT_ONCE = 3_000_000


@attrs.frozen
class Contracts:
    """Where they are. `good`, `noret` and `retfalse` are listed, nothing else is."""

    good: str
    noret: str
    retfalse: str
    liar: str
    collectible: str
    inner: str
    batch: str

    @classmethod
    def deployed(cls, node: DevNode) -> Contracts:
        """New ones. The liar has the name and symbol of a listed token."""
        names = ("Good", "NoRet", "RetFalse", "Liar", "Collectible", "Inner", "Batch")
        found = cls(*(deploy(node, name) for name in names))
        node.mined(transact(node, "Liar", found.liar, "pose", "Good Token", "GOOD"))
        return found


@attrs.frozen
class Act:
    """One transaction: `pays` is how many deposits it is, `resembles` how many it only looks like."""

    kind: str
    to: str
    value_wei: int = 0
    data: str = "0x"
    gas: int = GAS
    pays: int = 0
    resembles: int = 0


class Acts:
    """Makes them up, by chance."""

    def __init__(self, contracts: Contracts, wallets: Sequence[str], chance: random.Random) -> None:
        self._contracts, self._wallets, self._chance = contracts, wallets, chance
        self._serial = 0

    def planned(self, *, deposits: int, lookalikes: int) -> list[Act]:
        """So many deposits and look-alikes, or a few more, in any order."""
        acts = [
            *_until(self.deposit, lambda act: act.pays, deposits),
            *_until(self.lookalike, lambda act: act.resembles, lookalikes),
        ]
        self._chance.shuffle(acts)
        return acts

    def deposit(self) -> Act:
        """Pays one of our wallets."""
        return self._chance.choice(
            [self._ether, self._ether, self._good, self._good, self._noret, self._minted, self._twice, self._within, self._within]
        )()

    def lookalike(self) -> Act:
        """Pays none of them; but for dust, which must not be credited."""
        return self._chance.choice(
            [
                *(self._undone_mints, self._refused, self._spoofed, self._poison, self._zero_from_strangers, self._collectibles),
                *(self._undone_payments, self._near_misses, self._near_misses_in_ether, self._to_the_token, self._dust),
                *(self._too_much, self._nothing, self._one_wei),
            ]
        )()

    # What pays

    def _ether(self) -> Act:
        return Act("ether", self._wallet(), self._wei(), gas=PLAIN_GAS, pays=1)

    def _good(self) -> Act:
        return Act("good", self._contracts.good, data=calldata("Good", "transfer", self._wallet(), self._tokens()), pays=1)

    def _noret(self) -> Act:
        return Act("noret", self._contracts.noret, data=calldata("NoRet", "transfer", self._wallet(), self._tokens()), pays=1)

    def _minted(self) -> Act:
        return Act("minted", self._contracts.good, data=calldata("Good", "mint", self._wallet(), self._tokens()), pays=1)

    def _twice(self) -> Act:
        return Act("twice", self._contracts.good, data=calldata("Good", "many", self._wallet(), self._tokens()), pays=2)

    def _within(self) -> Act:
        return Act("within", self._contracts.inner, self._wei(), calldata("Inner", "pay", self._wallet()), pays=1)

    # What does not

    def _undone_mints(self) -> Act:
        """Ten deposits, and then a call that fails: the transaction did nothing."""
        calls = [calldata("Good", "mint", self._wallet(), self._tokens()) for _ in range(AT_ONCE)]
        return self._many("undone mints", self._contracts.good, [*calls, calldata("Good", "transfer", self._wallet(), 10**30)])

    def _refused(self) -> Act:
        calls = [calldata("RetFalse", "transfer", self._wallet(), self._tokens()) for _ in range(AT_ONCE)]
        return self._many("refused", self._contracts.retfalse, calls)

    def _spoofed(self) -> Act:
        calls = [calldata("Liar", "spoof", self._anybody(), self._wallet(), self._tokens()) for _ in range(AT_ONCE)]
        return self._many("spoofed", self._contracts.liar, calls)

    def _poison(self) -> Act:
        """Zero tokens from our wallets to somebody who looks like one of them."""
        calls = [calldata("Good", "transferFrom", self._wallet(), self._near(), 0) for _ in range(AT_ONCE)]
        return self._many("poison", self._contracts.good, calls)

    def _zero_from_strangers(self) -> Act:
        calls = [calldata("Good", "transferFrom", self._near(), self._wallet(), 0) for _ in range(AT_ONCE)]
        return self._many("zero", self._contracts.good, calls)

    def _collectibles(self) -> Act:
        self._serial += AT_ONCE
        calls = [calldata("Collectible", "mint", self._wallet(), self._serial + number) for number in range(AT_ONCE)]
        return self._many("collectibles", self._contracts.collectible, calls)

    def _undone_payments(self) -> Act:
        calls = [calldata("Inner", "go", self._wallet()) for _ in range(AT_ONCE)]
        return self._many("undone payments", self._contracts.inner, calls, value_wei=self._wei())

    def _near_misses(self) -> Act:
        calls = [calldata("Good", "mint", self._near(), self._tokens()) for _ in range(AT_ONCE)]
        return self._many("near misses", self._contracts.good, calls)

    def _near_misses_in_ether(self) -> Act:
        calls = [calldata("Inner", "pay", self._near()) for _ in range(AT_ONCE)]
        return self._many("near misses in ether", self._contracts.inner, calls, value_wei=self._wei())

    def _to_the_token(self) -> Act:
        calls = [calldata("Good", "mint", self._contracts.good, self._tokens()) for _ in range(AT_ONCE)]
        return self._many("to the token", self._contracts.good, calls)

    def _dust(self) -> Act:
        """One wei to each, some of them the same twice."""
        to = [self._wallet() for _ in range(AT_ONCE // 2)]
        calls = [calldata("Inner", "pay", each) for each in (*to, *to)]
        return self._many("dust", self._contracts.inner, calls, value_wei=len(calls))

    def _too_much(self) -> Act:
        data = calldata("Good", "transfer", self._wallet(), 10**30)
        return Act("too much", self._contracts.good, data=data, resembles=1)

    def _nothing(self) -> Act:
        return Act("nothing", self._wallet(), gas=PLAIN_GAS, resembles=1)

    def _one_wei(self) -> Act:
        return Act("one wei", self._wallet(), 1, gas=PLAIN_GAS, resembles=1)

    def _many(self, kind: str, target: str, calls: Sequence[str], *, value_wei: int = 0) -> Act:
        data = calldata("Batch", "all", target, [bytes.fromhex(each[2:]) for each in calls])
        return Act(kind, self._contracts.batch, value_wei, data, GAS_AT_ONCE, resembles=AT_ONCE)

    # By chance

    def _wallet(self) -> str:
        return self._chance.choice(self._wallets)

    def _anybody(self) -> str:
        return "0x" + self._chance.randbytes(20).hex()

    def _near(self) -> str:
        """Begins and ends as one of our addresses does."""
        ours = self._wallet().lower()
        return ours[:8] + self._chance.randbytes(14).hex() + ours[-6:]

    def _wei(self) -> int:
        return self._chance.randint(AMOUNT_MIN_WEI, AMOUNT_MAX_WEI)

    def _tokens(self) -> int:
        return self._chance.randint(1, TOKEN_AMOUNT_MAX)


def _until(make: Callable[[], Act], weight: Callable[[Act], int], wanted: int) -> Iterator[Act]:
    while wanted > 0:
        act = make()
        wanted -= weight(act)
        yield act
