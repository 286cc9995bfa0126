"""A reorganisation is a fact with a row of its own: how deep it was, and what was taken back with it."""

from __future__ import annotations

from custody_core import DepositState, TransactionState, ether
from custody_core.services.following import Round
from custody_core.services.reorganisations import DEEP
from custody_core.services.resources import chain_resource
from custody_memory.chain import MemoryChain
from tests.unit.core.services.bench import Bench, opened


def test_it_names_what_it_took_back_and_how_many_events_told_of_it(bench: Bench) -> None:
    payer, payee = bench.wallet(wei=ether("2")), bench.wallet("bob")
    sent = bench.send(payer, ether("1"))
    bench.rounds()
    bench.chain.send_ether(payee.address, 7)
    bench.blocks(2)
    (deposit,) = bench.deposits(payee)
    before = bench.custody.chains.list()[0].state.cursor
    told = len(bench.all_events())
    bench.chain.reorg(2)
    bench.clock.advance(60)
    bench.custody.follow(bench.chain.chain_id)
    (status,) = bench.custody.chains.list()
    reorganised = status.last_reorganisation
    assert reorganised is not None
    assert (reorganised.cursor, reorganised.depth) == (before, 2)
    assert (reorganised.deposit_ids, reorganised.transaction_ids) == ((deposit.id,), (sent.id,))
    assert reorganised.found_at == bench.clock.now()
    assert len(bench.all_events()) - told == reorganised.events == 2
    assert bench.deposits(payee)[0].state is DepositState.ORPHANED
    assert bench.transaction(sent.id).state is TransactionState.BROADCASTING
    (row,) = [each for each in bench.custody.audit.list(limit=1000) if each.action == "chain.reorganised"]
    assert (row.object_id, row.detail["id"], row.detail["depth"]) == ("eip155:31337", reorganised.id, "2")
    assert bench.alarms() == []
    shown = chain_resource(status)["last_reorganisation"]
    assert (shown["depth"], shown["deposits"], shown["transactions"], shown["from"]["number"]) == (2, 1, 1, before.number)
    assert deposit.id not in str(shown), "whose they are is not everybody's to know"


def test_each_has_its_row_and_the_last_one_is_shown(bench: Bench) -> None:
    bench.blocks(3)
    assert bench.custody.chains.list()[0].last_reorganisation is None
    for depth in (1, 3, 2):
        bench.chain.reorg(depth)
        bench.rounds()
    found = bench.custody.chains.reorganisations(bench.chain.chain_id)
    assert [each.depth for each in found] == [2, 3, 1]
    assert bench.custody.chains.list()[0].last_reorganisation == found[0]


def test_a_person_is_told_of_a_deep_one() -> None:
    with opened(chain=MemoryChain(finality_lag=3 * DEEP)) as bench:
        bench.blocks(2 * DEEP)
        bench.chain.reorg(DEEP - 1)
        bench.rounds()
        assert bench.alarms() == []
        bench.chain.reorg(DEEP)
        bench.rounds()
        assert bench.alarms() == ["reorganisation-deep"]


def test_one_that_would_change_a_final_block_takes_nothing_back(bench: Bench) -> None:
    bench.blocks(8)
    bench.chain.reorg(bench.chain.head.number)
    bench.chain.mine()
    assert bench.custody.follow(bench.chain.chain_id) is Round.HALTED
    assert bench.custody.chains.reorganisations(bench.chain.chain_id) == []
