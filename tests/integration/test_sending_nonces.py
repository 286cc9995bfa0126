"""Nonces on a real chain: bound to one send for ever, used up by nobody twice, and left alone where somebody else used them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest

from custody_core import Transaction, TransactionState, Wallet, WalletFrozen, ether
from custody_core.domain.authorisation import AuthorisedPayment
from custody_core.domain.encoding import FeeMarketTransaction
from custody_core.domain.fees import GWEI
from custody_core.domain.transaction import AttemptKind
from custody_core.domain.wallet import SealedKey, WalletState
from custody_core.errors import InvalidStateTransition
from custody_core.ports import SignedTransaction
from custody_core.services.batching import Batch, Payout
from tests.integration.test_sending import OUTSIDER, mined_from
from tests.support.devnode import DEV_ACCOUNTS, DevNode
from tests.support.faultproxy import FaultProxy
from tests.support.faults import DropRequest, Edit, Error, Fault, ForwardThenDropReply, Http
from tests.support.service import CHAIN_ID, Service, running_service

THIEF = DEV_ACCOUNTS[2].address


@pytest.fixture
def behind_proxy(tmp_path: Path, node: DevNode, proxy: FaultProxy) -> Iterator[Service]:
    """For what is about nodes alone: the service on SQLite, with `proxy` before its node."""
    with running_service(tmp_path, node, rpc_url=proxy.url) as service:
        yield service


def alarms(service: Service) -> list[object]:
    """The codes of all alarms, in order."""
    service.custody.seal()
    return [each.data["code"] for each in service.custody.events.list(limit=10_000) if each.type == "alarm.raised"]


def send(service: Service, wallet: Wallet, key: str) -> str:
    """Accepts a send of 0.1 ether to an outsider; its id."""
    return service.custody.transactions.send(wallet.id, to=OUTSIDER, amount=ether("0.1"), idempotency_key=key).id


def sign_elsewhere(service: Service, wallet: Wallet, nonce: int, *, fee_max_wei: int = 50 * GWEI) -> None:
    """Somebody else has the wallet's key, and pays themselves 5 wei with it; the node has it in its pool or in a block."""
    kit = service.custody._kit
    assert kit.keys is not None
    elsewhere = FeeMarketTransaction(CHAIN_ID, nonce, 10 * GWEI, fee_max_wei, 21_000, bytes.fromhex(THIEF[2:]), 5)
    with kit.store.reading() as unit:
        key = unit.sealed_keys([wallet.id])[wallet.id]
    service.node.send_raw(kit.keys.sign(AuthorisedPayment(wallet.id, wallet.address, "dec_elsewhere", elsewhere), key).raw)


def nonces_mined(service: Service, wallet: Wallet) -> list[int]:
    return [int(str(each["nonce"]), 16) for each in mined_from(service.node, wallet.address)]


def broken_promises(service: Service) -> set[str]:
    return {check.id for check in service.custody.reconcile().checks if not check.ok}


# Somebody else's use of the key


def test_s_11_a_nonce_that_somebody_else_used_freezes_the_wallet_and_fails_our_send_once_that_is_final(service: Service) -> None:
    """Nothing is overwritten, and the send is not paid again under another nonce: only its end says that it never will be."""
    wallet, node = service.wallet(funded_wei=ether("1")), service.node
    node.set_automine(on=False)
    ours, behind = send(service, wallet, "ours"), send(service, wallet, "behind")
    service.custody.tick()
    assert [service.outgoing(each).nonce for each in (ours, behind)] == [0, 1]
    sign_elsewhere(service, wallet, 0)
    node.raw("anvil_mine", "0x1")
    service.custody.tick()
    stopped = service.custody.wallets.get(wallet.id)
    assert (stopped.state, alarms(service)) == (WalletState.FROZEN, ["nonce-foreign"])
    assert service.outgoing(ours).state is TransactionState.BROADCASTING, "what is not final may still be taken back"
    with pytest.raises(WalletFrozen):
        send(service, wallet, "more")
    with pytest.raises(InvalidStateTransition, match="not final yet"):
        service.custody.chains.adopt(CHAIN_ID)

    node.finalize()
    service.custody.tick()
    lost = service.outgoing(ours)
    assert (lost.state, len(lost.attempts), lost.nonce) == (TransactionState.FAILED, 1, 0)
    assert "which these books do not know; see what it paid" in str(lost.reason)
    assert service.event_types(ours)[-1] == "transaction.failed"
    service.clock.advance(31)
    service.custody.tick()
    node.mine()
    service.finalize()
    assert service.outgoing(behind).state is TransactionState.COMPLETED, "what was signed before goes on behind it"
    assert nonces_mined(service, wallet) == [0, 1]

    assert [each.id for each in service.custody.chains.adopt(CHAIN_ID)] == [wallet.id]
    node.set_automine(on=True)
    after = send(service, wallet, "after")
    service.custody.tick()
    service.finalize()
    assert (service.outgoing(after).state, service.outgoing(after).nonce) == (TransactionState.COMPLETED, 2)
    assert alarms(service) == ["nonce-foreign"]
    assert broken_promises(service) == set(), "what the thief took is out of the books, too"


def test_s_11_a_foreign_transaction_in_the_pool_stops_the_wallet_before_a_nonce_is_reserved(service: Service) -> None:
    """Not mined yet, only known to the node: a payment at that nonce would be a race against whoever has the key."""
    wallet, node = service.wallet(funded_wei=ether("1")), service.node
    node.set_automine(on=False)
    sign_elsewhere(service, wallet, 0)
    ours = send(service, wallet, "ours")
    service.custody.tick()
    waiting = service.outgoing(ours)
    assert (waiting.state, waiting.nonce, waiting.parked_reason) == (TransactionState.QUEUED, None, "wallet-frozen")
    assert service.custody.wallets.get(wallet.id).state is WalletState.FROZEN
    assert alarms(service) == ["nonce-foreign"]
    node.mine()
    service.finalize()
    assert nonces_mined(service, wallet) == [0]
    refused = service.outgoing(ours)
    assert (refused.state, refused.nonce) == (TransactionState.FAILED, None), "these books may be the older ones"


def test_a_foreign_use_that_a_reorganisation_takes_back_fails_nothing(service: Service) -> None:
    """The wallet stays stopped for a person to look at; the send, whose nonce is free again, is paid."""
    wallet, node = service.wallet(funded_wei=ether("1")), service.node
    node.set_automine(on=False)
    ours = send(service, wallet, "ours")
    service.custody.tick()
    sign_elsewhere(service, wallet, 0)
    node.raw("anvil_mine", "0x1")
    service.custody.tick()
    assert service.custody.wallets.get(wallet.id).state is WalletState.FROZEN
    node.reorg(1)
    service.clock.advance(31)
    service.custody.tick()
    node.mine()
    service.finalize()
    assert service.outgoing(ours).state is TransactionState.COMPLETED
    assert len(mined_from(node, wallet.address)) == 1
    assert [each.id for each in service.custody.chains.adopt(CHAIN_ID)] == [wallet.id]
    service.assert_reconciled()


# A crash between the nonce and its signature


class Killed(BaseException):
    """The process ends here."""


@attrs.define
class DyingKeys:
    """A signer in whose process the power fails at the first signature."""

    within: object

    def __getattr__(self, name: str) -> object:
        return getattr(self.within, name)

    def sign(self, _authorised: object, _key: SealedKey) -> SignedTransaction:
        raise Killed


def kill_while_signing(service: Service) -> None:
    sender = service.custody._sender
    assert sender is not None
    sender._keys = DyingKeys(sender._keys)  # type: ignore[assignment]
    with pytest.raises(Killed):
        service.custody.advance(CHAIN_ID)


@pytest.mark.parametrize("cancelled", [False, True], ids=["paid", "cancelled"])
def test_s_12_a_nonce_reserved_before_a_crash_is_used_by_the_same_send_or_its_cancellation(
    tmp_path: Path, node: DevNode, database_url: str, cancelled: bool
) -> None:
    """No gap stays open, and later sends do not wait behind one."""
    with running_service(tmp_path, node, database_url=database_url) as service:
        wallet = service.wallet(funded_wei=ether("1"))
        first = send(service, wallet, "first")
        kill_while_signing(service)
        held = service.outgoing(first)
        assert (held.state, held.nonce) == (TransactionState.PENDING_SIGNATURE, 0)
    with running_service(tmp_path, node, database_url=database_url) as service:
        second = send(service, wallet, "second")
        if cancelled:
            service.custody.transactions.cancel(first)
        service.clock.advance(21)
        for _ in range(2):
            service.custody.tick()
        service.finalize()
        ends = [service.outgoing(each) for each in (first, second)]
        expected = TransactionState.CANCELLED if cancelled else TransactionState.COMPLETED
        assert [(each.state, each.nonce) for each in ends] == [(expected, 0), (TransactionState.COMPLETED, 1)]
        assert [len(each.attempts) for each in ends] == [1, 1]
        assert nonces_mined(service, wallet) == [0, 1]
        service.assert_reconciled()


def test_a_resubmission_is_stored_before_it_is_broadcast(behind_proxy: Service, proxy: FaultProxy) -> None:
    """Killed with the dearer attempt's broadcast under way, whose answer nobody hears: its hash is known, and its block counts."""
    wallet, node = behind_proxy.wallet(funded_wei=ether("1")), behind_proxy.node
    node.set_automine(on=False)
    sent = send(behind_proxy, wallet, "dearer")
    behind_proxy.custody.tick()
    stored: list[tuple[str | None, ...]] = []

    def look(_: object) -> bool:
        stored.append(tuple(each.raw.hex() if each.raw else None for each in behind_proxy.outgoing(sent).attempts))
        return True

    proxy.on("eth_sendRawTransaction", ForwardThenDropReply(), when=look)
    behind_proxy.clock.advance(95)
    behind_proxy.custody.advance(CHAIN_ID)
    raws = [call.params[0].removeprefix("0x") for call in proxy.calls("eth_sendRawTransaction")]
    assert stored[-1] == (raws[0], raws[-1]), "when the node heard of it, it was in the database"
    node.mine()
    behind_proxy.finalize()
    done = behind_proxy.outgoing(sent)
    assert (done.state, done.hash) == (TransactionState.COMPLETED, done.attempts[1].hash)
    behind_proxy.assert_reconciled()


# Which attempt is mined


@pytest.mark.parametrize("winner", [0, 1], ids=["original", "replacement"])
def test_s_24_of_an_original_and_its_replacement_on_different_nodes_one_settles_and_one_is_debited(
    behind_proxy: Service, proxy: FaultProxy, winner: int
) -> None:
    """Each is known to another node; a block holds either, a reorganisation swaps it for the other, and the books follow."""
    wallet, node = behind_proxy.wallet(funded_wei=ether("1")), behind_proxy.node
    node.set_automine(on=False)
    sent = send(behind_proxy, wallet, "race")
    behind_proxy.custody.tick()
    proxy.on("eth_sendRawTransaction", Error(-32000, "already known"))  # the other node has it: this one never hears of it
    behind_proxy.clock.advance(95)
    behind_proxy.custody.tick()
    first, second = behind_proxy.outgoing(sent).attempts
    raws = ["0x" + each.raw.hex() for each in (first, second) if each.raw]
    loser = 1 - winner
    node.raw("anvil_dropAllTransactions")
    node.mine()
    node.reorg(1, [(raws[loser], 0)])
    behind_proxy.custody.tick()
    seen = behind_proxy.outgoing(sent)
    assert (seen.state, seen.inclusion and seen.inclusion.attempt_id) == (TransactionState.CONFIRMING, (first, second)[loser].id)
    node.reorg(1, [(raws[winner], 0)])
    behind_proxy.custody.tick()
    behind_proxy.finalize()
    done = behind_proxy.outgoing(sent)
    assert done.inclusion is not None
    assert (done.state, done.inclusion.attempt_id) == (TransactionState.COMPLETED, (first, second)[winner].id)
    assert len(mined_from(node, wallet.address)) == 1
    assert behind_proxy.available(wallet) == ether("0.9") - done.inclusion.fee_wei == node.balance(wallet.address)
    assert behind_proxy.event_types(sent).count("transaction.completed") == 1
    behind_proxy.assert_reconciled()


# Answers that say nothing, or the wrong thing


@pytest.mark.parametrize(
    "fault",
    [
        ForwardThenDropReply(),
        Http(502),
        Error(-32000, "already known"),
        Error(-32000, "nonce too low"),
        Error(-32000, "insufficient funds for gas * price + value"),
        Error(-32603, "internal error: invalid nonce"),
        Error(-32000, "words that no node has said before"),
    ],
    ids=["answer lost", "502", "already known", "nonce too low", "insufficient funds", "internal error", "unknown words"],
)
def test_no_answer_to_a_broadcast_frees_a_nonce(behind_proxy: Service, proxy: FaultProxy, fault: Fault) -> None:
    """A timeout is not a failure. Of what is answered three times over, the nonces stay bound and the bytes stay the same; nobody
    begins to count anew.
    """
    wallet = behind_proxy.wallet(funded_wei=ether("1"))
    rule = proxy.on("eth_sendRawTransaction", fault)
    ids = [send(behind_proxy, wallet, f"send-{number}") for number in range(3)]
    for _ in range(4):
        behind_proxy.custody.advance(CHAIN_ID)
        behind_proxy.clock.advance(31)
    assert [behind_proxy.outgoing(each).nonce for each in ids] == [0, 1, 2]
    assert {behind_proxy.outgoing(each).state for each in ids} == {TransactionState.BROADCASTING}
    rule.times_left = 0
    later = send(behind_proxy, wallet, "later")
    for _ in range(2):
        behind_proxy.clock.advance(31)
        behind_proxy.custody.tick()
    behind_proxy.finalize()
    ends = [behind_proxy.outgoing(each) for each in (*ids, later)]
    assert [(each.state, each.nonce) for each in ends] == [(TransactionState.COMPLETED, number) for number in range(4)]
    assert nonces_mined(behind_proxy, wallet) == [0, 1, 2, 3]
    raws = {call.params[0] for call in proxy.calls("eth_sendRawTransaction")}
    assert raws == {"0x" + each.raw.hex() for end in ends for each in end.attempts if each.raw}
    behind_proxy.assert_reconciled()


def test_a_node_that_takes_no_nonce_after_a_gap_gets_them_in_order_once_the_gap_is_filled(
    behind_proxy: Service, proxy: FaultProxy
) -> None:
    """The first one got lost on its way, and this node refuses all those behind it: none of them is given up or renumbered."""
    wallet, node = behind_proxy.wallet(funded_wei=ether("1")), behind_proxy.node
    proxy.on("eth_sendRawTransaction", DropRequest(), times=1)
    gap = proxy.on("eth_sendRawTransaction", Error(-32000, "Nonce too high. Expected nonce to be 0 but got 1."))
    ids = [send(behind_proxy, wallet, f"send-{number}") for number in range(4)]
    behind_proxy.custody.advance(CHAIN_ID)
    assert [behind_proxy.outgoing(each).nonce for each in ids] == [0, 1, 2, 3]
    gap.times_left = 0
    done = carry(behind_proxy, ids)
    assert [(each.state, each.nonce, len(each.attempts)) for each in done] == [
        (TransactionState.COMPLETED, number, 1) for number in range(4)
    ]
    assert len(mined_from(node, wallet.address)) == 4
    behind_proxy.assert_reconciled()


def test_one_failed_receipt_read_does_not_send_again(behind_proxy: Service, proxy: FaultProxy) -> None:
    """Mined, and every question for its receipt is answered with nothing or not at all: it waits for the receipt, for as long as it
    takes, and is neither failed nor signed at another nonce.
    """
    wallet, node = behind_proxy.wallet(funded_wei=ether("1")), behind_proxy.node
    sent = send(behind_proxy, wallet, "unseen")
    behind_proxy.custody.advance(CHAIN_ID)
    node.mined(str(behind_proxy.outgoing(sent).hash))
    rules = [
        proxy.on("eth_getTransactionReceipt", Edit(lambda _: None)),
        proxy.on("eth_getBlockReceipts", Error(-32603, "receipts are not here yet")),
    ]
    for _ in range(12):
        node.mine()
        behind_proxy.clock.advance(95)
        behind_proxy.custody.tick()
    waiting = behind_proxy.outgoing(sent)
    assert (waiting.state, waiting.nonce) == (TransactionState.BROADCASTING, 0)
    assert len(mined_from(node, wallet.address)) == 1
    for rule in rules:
        rule.times_left = 0
    behind_proxy.finalize()
    behind_proxy.custody.tick()
    done = behind_proxy.outgoing(sent)
    assert (done.state, done.nonce, done.hash) == (TransactionState.COMPLETED, 0, done.attempts[0].hash)
    assert node.balance(wallet.address) == behind_proxy.available(wallet)
    behind_proxy.assert_reconciled()


def test_a_node_that_lags_behind_never_makes_a_nonce_be_used_again(behind_proxy: Service, proxy: FaultProxy) -> None:
    """It knows of none of our transactions: the books decide which nonce is next, never a node's count."""
    wallet = behind_proxy.wallet(funded_wei=ether("1"))
    proxy.on("eth_getTransactionCount", Edit(lambda _: "0x0"))
    ids = []
    for number in range(3):
        ids.append(send(behind_proxy, wallet, f"send-{number}"))
        behind_proxy.custody.tick()
    behind_proxy.finalize()
    assert [behind_proxy.outgoing(each).nonce for each in ids] == [0, 1, 2]
    assert nonces_mined(behind_proxy, wallet) == [0, 1, 2]
    behind_proxy.assert_reconciled()


# Many at once


def payouts(wallet: Wallet, name: str, count: int) -> Batch:
    items = [Payout(to=OUTSIDER, amount=1000 + number, external_id=f"{name}-{number}") for number in range(count)]
    return Batch(wallet_id=wallet.id, payouts=items)


def accepted_ids(service: Service, batch: Batch, key: str) -> list[str]:
    outcomes = service.custody.transactions.accept_batch(batch, idempotency_key=key)
    return [outcome.transaction.id for outcome in outcomes if not isinstance(outcome, Exception)]


def carry(service: Service, ids: list[str]) -> list[Transaction]:
    """Until all are final, in a bounded number of rounds."""
    for _ in range(12):
        service.clock.advance(31)
        service.custody.tick()
        service.finalize()
        if all(service.outgoing(each).is_final for each in ids):
            break
    return [service.outgoing(each) for each in ids]


def test_two_batches_at_once_never_share_a_nonce(proxied: Service, proxy: FaultProxy) -> None:
    """The second is accepted while the first one is pending, and the market has risen: it replaces none of the first one's."""
    wallet, node = proxied.wallet(funded_wei=ether("1")), proxied.node
    node.set_automine(on=False)
    before = node.balance(OUTSIDER)
    first = accepted_ids(proxied, payouts(wallet, "first", 4), "batch-1")
    proxied.custody.tick()
    proxy.on("eth_feeHistory", Edit(lambda history: {**history, "baseFeePerGas": [hex(9 * GWEI)] * len(history["baseFeePerGas"])}))
    proxied.clock.advance(2)  # the quote that is kept for a moment is another one now
    second = accepted_ids(proxied, payouts(wallet, "second", 4), "batch-2")
    proxied.custody.tick()
    node.set_automine(on=True)
    node.mine()
    done = carry(proxied, [*first, *second])
    assert {each.state for each in done} == {TransactionState.COMPLETED}
    assert [each.nonce for each in done] == list(range(8))
    assert node.balance(OUTSIDER) - before == 2 * sum(1000 + number for number in range(4))
    proxied.assert_reconciled()


@pytest.mark.parametrize("item", [1, 4])
def test_a_payout_that_fails_at_one_item_loses_none_of_those_before_it_and_pays_none_twice(
    proxied: Service, proxy: FaultProxy, item: int
) -> None:
    """The answer to the k-th broadcast is lost; the whole batch is asked for again: each was paid, and is paid, once."""
    wallet, node = proxied.wallet(funded_wei=ether("1")), proxied.node
    before, batch = node.balance(OUTSIDER), payouts(wallet, "item", 6)
    proxy.on("eth_sendRawTransaction", ForwardThenDropReply(), skip=item, times=2)
    ids = accepted_ids(proxied, batch, "payday")
    proxied.custody.advance(CHAIN_ID)
    assert accepted_ids(proxied, batch, "payday") == ids
    done = carry(proxied, ids)
    assert accepted_ids(proxied, batch, "payday") == ids
    assert {each.state for each in done} == {TransactionState.COMPLETED}
    assert all(each.hash for each in done)
    assert nonces_mined(proxied, wallet) == list(range(6))
    assert node.balance(OUTSIDER) - before == sum(1000 + number for number in range(6))
    proxied.assert_reconciled()


def test_a_payout_killed_between_two_of_its_items_pays_each_once(tmp_path: Path, node: DevNode, database_url: str) -> None:
    """The process dies with some nonces reserved, none signed; another one finds every item where it was."""
    with running_service(tmp_path, node, database_url=database_url) as service:
        wallet = service.wallet(funded_wei=ether("1"))
        batch = payouts(wallet, "killed", 5)
        ids = accepted_ids(service, batch, "payday")
        kill_while_signing(service)
    with running_service(tmp_path, node, database_url=database_url) as service:
        assert accepted_ids(service, batch, "payday") == ids
        done = carry(service, ids)
        assert [(each.state, each.nonce) for each in done] == [(TransactionState.COMPLETED, number) for number in range(5)]
        assert nonces_mined(service, wallet) == list(range(5))
        service.assert_reconciled()


def test_what_is_taken_back_leaves_no_hole(service: Service) -> None:
    """Cancelled before its nonce it has none; cancelled after, its own cancellation uses it."""
    wallet, node = service.wallet(funded_wei=ether("1")), service.node
    node.set_automine(on=False)
    first = send(service, wallet, "first")
    service.custody.tick()
    early, last = send(service, wallet, "early"), send(service, wallet, "last")
    service.custody.transactions.cancel(early)
    service.custody.transactions.cancel(first)
    service.custody.tick()
    node.mine()
    service.finalize()
    ends = [service.outgoing(each) for each in (first, early, last)]
    assert [each.nonce for each in ends] == [0, None, 1]
    assert ends[0].attempts[-1].kind is AttemptKind.CANCELLATION
    assert ends[2].state is TransactionState.COMPLETED
    assert nonces_mined(service, wallet) == [0, 1]
    service.assert_reconciled()
