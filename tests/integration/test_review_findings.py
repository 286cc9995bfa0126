"""Faults that were found by trying to break the service, each kept from coming back."""

from pathlib import Path

import pytest
from sqlalchemy import create_engine

from custody_app import open_in_memory
from custody_core import FeeAboveCap, InvalidStateTransition, Limits, NodeUnavailable, TransactionState, ether
from custody_core.domain.chain import Header
from custody_core.ports import Answer, BlockTag, Found, Unknown
from custody_memory.chain import MemoryChain
from tests.integration.test_sending import OUTSIDER, mined_from
from tests.support.devnode import DevNode
from tests.support.service import Service, running_service


def test_nothing_is_broadcast_inside_a_transaction_that_may_be_rolled_back(tmp_path: Path, node: DevNode) -> None:
    with running_service(tmp_path, node) as service:
        wallet = service.wallet(funded_wei=ether("1"))
        engine = create_engine(f"sqlite:///{tmp_path / 'custody.db'}")
        with engine.connect() as connection, service.custody.joined(connection):
            sent = service.custody.transactions.send(wallet.id, to=OUTSIDER, amount=1000, idempotency_key="joined")
            for work in (
                service.custody.tick,
                lambda: service.custody.transactions.wait(sent.id, until="broadcasting", timeout_s=5),
                lambda: service.custody.advance(31337),
            ):
                with pytest.raises(InvalidStateTransition):
                    work()
            connection.rollback()
        engine.dispose()
        assert mined_from(node, wallet.address) == []
        again = service.custody.transactions.send(wallet.id, to=OUTSIDER, amount=1000, idempotency_key="joined")
        service.custody.tick()
        service.finalize()
        assert service.outgoing(again.id).state is TransactionState.COMPLETED
        assert len(mined_from(node, wallet.address)) == 1
        service.assert_reconciled()


class SilentAtFirst(MemoryChain):
    """Does not say where its head is until it is told to."""

    speaks = False

    def header(self, at: int | BlockTag) -> Answer[Header]:
        return super().header(at) if self.speaks else Unknown("silent")


def test_no_address_is_shown_before_its_chain_is_followed() -> None:
    chain = SilentAtFirst()
    with open_in_memory(chain) as custody:
        with pytest.raises(NodeUnavailable):
            custody.wallets.create(owner="alice", idempotency_key="early")
        assert custody.wallets.pool_size() == 0
        chain.speaks = True
        wallet = custody.wallets.create(owner="alice", idempotency_key="early")
        chain.send_ether(wallet.address, 7)
        chain.mine(6)
        custody.tick()
        assert custody.wallets.balances(wallet.id)[0].available == 7


class AheadAboutFinality(MemoryChain):
    """A node whose `finalized` tag comes from another, which is ahead of it and on another branch."""

    tag: Header | None = None

    def header(self, at: int | BlockTag) -> Answer[Header]:
        if at is BlockTag.FINALIZED and self.tag is not None:
            return Found(self.tag)
        return super().header(at)


def test_a_finalized_tag_above_our_cursor_finalises_nothing() -> None:
    chain, other = AheadAboutFinality(), MemoryChain()
    with open_in_memory(chain) as custody:
        wallet = custody.wallets.create(owner="alice", idempotency_key="wallet")
        chain.send_ether(wallet.address, 7)
        chain.mine(1)
        other.mine(20)
        tag = other.header(BlockTag.FINALIZED)
        assert isinstance(tag, Found)
        chain.tag = tag.value
        custody.tick()
        (balance,) = custody.wallets.balances(wallet.id)
        assert (balance.available, balance.pending_in) == (0, 7)


def test_a_reorg_right_after_the_first_start_with_a_depth_set_halts_nothing() -> None:
    chain = MemoryChain()
    chain.mine(10)
    with open_in_memory(chain, limits=Limits(confirmations={chain.chain_id: 5}, key_pool_size=2)) as custody:
        custody.tick()
        chain.reorg(1)
        chain.mine(1)
        custody.tick()
        (state,) = custody.chains.states()
        assert state.halted_reason is None
        assert state.cursor.number == 11


def test_a_cap_below_the_market_is_refused_instead_of_jamming_the_wallet(service: Service) -> None:
    wallet = service.wallet(funded_wei=ether("1"))
    with pytest.raises(FeeAboveCap):
        service.custody.transactions.send(wallet.id, to=OUTSIDER, amount=1, idempotency_key="cheap", fee_per_gas_max_wei=1)
    assert service.custody.transactions.list(direction="outgoing") == []


def test_a_payment_at_its_cap_can_still_be_cancelled(service: Service) -> None:
    wallet, node = service.wallet(funded_wei=ether("1")), service.node
    node.set_automine(on=False)
    sent = service.custody.transactions.send(wallet.id, to=OUTSIDER, amount=ether("0.4"), idempotency_key="capped")
    for _ in range(12):
        service.custody.tick()
        service.clock.advance(95)
    at_cap = service.outgoing(sent.id)
    service.custody.transactions.cancel(sent.id)
    service.clock.advance(31)
    service.custody.tick()
    assert len(service.outgoing(sent.id).attempts) == len(at_cap.attempts) + 1
    node.mine()
    service.finalize()
    assert service.outgoing(sent.id).state is TransactionState.CANCELLED
    service.assert_reconciled()
