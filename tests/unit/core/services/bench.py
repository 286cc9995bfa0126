"""What the tests of the services work on: the real services over the in-memory adapters, one block and one round at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import attrs

from custody_app import open_in_memory
from custody_core import Asset, Balance, Custody, Deposit, Limits, Transaction, Wallet, ether
from custody_core.domain.addresses import Address
from custody_core.domain.audit import Event
from custody_memory.chain import MemoryChain
from custody_memory.clock import ManualClock
from tests.support import factories

FRIEND = factories.address(0xF001)
"""Somebody outside of this service."""

FINALITY = 4
"""Blocks between the head and the final block of a `MemoryChain`."""


@attrs.frozen
class Bench:
    """`custody` on `chain`, at the time of `clock`."""

    custody: Custody
    chain: MemoryChain
    clock: ManualClock

    def rounds(self, count: int = 1, *, seconds: float = 1) -> None:
        """So many rounds of the background work, some time apart."""
        for _ in range(count):
            self.custody.tick()
            self.clock.advance(seconds)

    def blocks(self, count: int = 1) -> None:
        """So many blocks, with a round after each."""
        for _ in range(count):
            self.chain.mine()
            self.rounds()

    def settle(self) -> None:
        """Carries on until everything that was sent is final."""
        for _ in range(3):
            self.rounds(seconds=30)
            self.blocks(FINALITY + 1)

    def wallet(self, owner: str = "alice", *, wei: int = 0, key: str | None = None) -> Wallet:
        """A new wallet of `owner`, funded by a final deposit."""
        wallet = self.custody.wallets.create(owner=owner, idempotency_key=key or f"wallet-{factories.number()}")
        if wei:
            self.pay_in(wallet, wei)
        return wallet

    def pay_in(self, wallet: Wallet, wei: int) -> None:
        """A deposit, until it is final."""
        self.chain.send_ether(wallet.address, wei)
        self.blocks(FINALITY + 1)

    def token(self, alias: str = "usdc", decimals: int = 6) -> Asset:
        """A new token, listed."""
        contract = self.chain.deploy_token()
        return self.custody.tokens.add(chain_id=self.chain.chain_id, address=contract, alias=alias, decimals=decimals).asset

    def pay_in_token(self, wallet: Wallet, token: Asset, amount: int) -> None:
        """A token deposit, until it is final."""
        self.chain.send_token(contract_of(token), wallet.address, amount)
        self.blocks(FINALITY + 1)

    def send(self, wallet: Wallet, amount: int = ether("0.1"), **changes: Any) -> Transaction:
        """A send to a friend, with a key of its own."""
        filled: dict[str, Any] = {"to": FRIEND, "amount": amount, "idempotency_key": f"send-{factories.number()}"}
        return self.custody.transactions.send(wallet.id, **(filled | changes))

    def transaction(self, transaction_id: str) -> Transaction:
        """An outgoing transaction, as it is now."""
        found = self.custody.transactions.get(transaction_id)
        assert isinstance(found, Transaction)
        return found

    def deposits(self, wallet: Wallet) -> list[Deposit]:
        """The wallet's deposits, oldest first."""
        found = self.custody.transactions.list(wallet_id=wallet.id, direction="incoming")
        return [each for each in reversed(found) if isinstance(each, Deposit)]

    def outgoing(self, wallet: Wallet) -> list[Transaction]:
        """The wallet's sends, newest first."""
        found = self.custody.transactions.list(wallet_id=wallet.id, direction="outgoing", limit=200)
        return [each for each in found if isinstance(each, Transaction)]

    def balance(self, wallet: Wallet, asset: str = "eth") -> Balance:
        """One line of the wallet's balances."""
        (line,) = [each for each in self.custody.wallets.balances(wallet.id) if each.asset.alias == asset]
        return line

    def events(self, object_id: str) -> list[str]:
        """The types of the events about one object, in order."""
        return [each.type for each in self.all_events() if each.object_id == object_id]

    def all_events(self) -> list[Event]:
        """Every event, in order."""
        self.custody.seal()
        found: list[Event] = []
        while page := self.custody.events.list(after_sequence=len(found)):
            found += page
        return found

    def alarms(self) -> list[object]:
        """The codes of the alarms that were raised, in order."""
        return [each.data["code"] for each in self.all_events() if each.type == "alarm.raised"]

    def require_sound(self) -> None:
        """Every promise that a running system can check holds, and nothing had to be put aside for that."""
        reconciliation = self.custody.reconcile()
        assert {check.id: check.violations for check in reconciliation.checks if not check.ok} == {}
        assert [(line.wallet.id, line.asset.alias, line.amount) for line in self.custody.suspense.list()] == []


def contract_of(token: Asset) -> Address:
    assert token.contract is not None
    return token.contract


@contextmanager
def opened(*, chain: MemoryChain | None = None, limits: Limits | None = None) -> Iterator[Bench]:
    """A service that follows its chain from the start, with a few wallets made ahead."""
    chain, clock = chain or MemoryChain(), ManualClock()
    with open_in_memory(chain, clock=clock, limits=limits or Limits(key_pool_size=3)) as custody:
        bench = Bench(custody, chain, clock)
        bench.rounds()
        yield bench
