"""Workflows in which the books are compared with a chain that cannot be asked, is not what it was, or says that something is gone.

What nodes say of balances here is made up, so nothing of it may be in the books at the end.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Final

import attrs
import pytest

from custody_core import Custody
from custody_core.errors import NodeUnavailable
from custody_core.services import comparing
from tests.unit.simulation.failures import require
from tests.unit.simulation.gate import OpenGate
from tests.unit.simulation.journal import JournalStore
from tests.unit.simulation.operators import in_turn, resume
from tests.unit.simulation.rehearsal import FINALITY_LAG, LIMITS, Rehearsal, Stage
from tests.unit.simulation.site import CHAIN_ID
from tests.unit.simulation.virtual_time import MICROSECONDS

LEASE_MAX_S = 60
SILENT = "does not say"

STAGES: Final[Mapping[str, Stage]] = {"given_up_half_way": Stage(limits=attrs.evolve(LIMITS, blocks_per_commit_max=1))}


def ether_that_was_gone_for_a_while(on: Rehearsal) -> None:
    """A node shows less ether than the books say. It is told once, nothing is booked away, and in the end it is there again."""
    on.fund()
    on.views[0].says_of_balance = lambda wei: max(wei - 5, 0)
    on.arm()
    for _ in range(2):
        assert "the books say" in _found_wrong(on)
    assert _alarms(on) == ["alarm.raised"]
    on.views[0].says_of_balance = None
    assert _found_wrong(on) == ""
    assert _alarms(on) == ["alarm.raised", "alarm.cleared"]


def compared_while_it_is_halted(on: Rehearsal) -> None:
    """A difference is told, and neither found nor taken back, until somebody has looked."""
    on.fund()
    on.arm()
    on.tree.breach(FINALITY_LAG + 1)
    on.until(on.is_halted)
    on.tree.return_to(on.tree.pasts[0])
    on.views[0].says_of_balance = lambda wei: wei + 5
    assert "the chain is halted" in _found_wrong(on)
    on.views[0].says_of_balance = None
    assert _found_wrong(on) == ""
    on.ask(resume)


def compared_while_blocks_are_read_again(on: Rehearsal) -> None:
    """Somebody died while reading blocks again. Until their lease ends, half of what blocks say is no finding."""
    on.fund()
    on.dies("blocks", lambda custody: custody.scans.rescan(1, on.tree.final))
    on.views[0].says_of_balance = lambda wei: wei + 5
    on.arm()
    assert "blocks are being read again" in _found_wrong(on)
    on.views[0].says_of_balance = None
    on.time.us += LEASE_MAX_S * MICROSECONDS
    assert _found_wrong(on) == ""


def given_up_half_way(on: Rehearsal) -> None:
    """Of two payments in a token that was listed late a rescan finds the first, then nodes are silent about the second. An operator
    gives the rest up, and comparisons judge again; the next one who reads all of it again finds the second payment.
    """
    other = on.tree.deploy_token()
    for amount in (33, 44):
        on.tree.send_token(other, on.wallet.address, amount)
        on.blocks()
    on.blocks(FINALITY_LAG + 1)
    on.counts(other)
    on.custody.tokens.add(chain_id=CHAIN_ID, address=other, alias="late", decimals=6)
    last = on.tree.final
    on.meanwhile("blocks", lambda _: on.meanwhile("blocks", lambda _: on.trouble.plan["node-silent"].append(True)))
    with suppress(NodeUnavailable):
        on.custody.scans.rescan(1, last)
    on.arm()
    assert "were not" in _found_wrong(on)
    on.ask(lambda custody: custody.scans.abandon())
    assert on.ask(lambda custody: custody.scans.unfinished()) == []
    on.ask(in_turn(lambda custody: custody.scans.rescan(1, last)))


def silent_about_a_difference(on: Rehearsal) -> None:
    """A node shows a difference, and says nothing when it is asked a second time: nothing is booked on one word."""
    on.fund()
    said: list[int] = []

    def say(wei: int) -> int | None:
        said.append(wei)
        return wei + 5 if len(said) == 1 else None

    on.arm()
    on.views[0].says_of_balance = say
    for _ in range(2):
        assert SILENT in _compared(on)
    on.views[0].says_of_balance = None


def final_faster_than_compared(on: Rehearsal) -> None:
    """Whenever a node has said what a wallet holds, another block is final, and another process has followed it."""
    on.fund()
    other = on._parts.custody(OpenGate())

    def say(wei: int) -> int:
        on.tree.mine()
        on.time.us += LEASE_MAX_S * MICROSECONDS
        other._followers[CHAIN_ID].round()
        return wei + 5

    on.arm()
    on.views[0].says_of_balance = say
    assert "become final faster" in _found_wrong(on)
    on.views[0].says_of_balance = None


def compared_a_few_at_a_time(on: Rehearsal) -> None:
    """Where one request holds few balances, wallets with tokens are compared one after the other, and nobody is left out."""
    other = on.custody.wallets.create(owner="bob", idempotency_key="another")
    on.tree.send_token(on.token, other.address, 70)
    on.fund(tokens=500)
    (token,) = on.custody.tokens.list()
    on.custody.tokens.disable(token.id)
    with _balances_per_request(3):
        on.arm()
        assert _found_wrong(on) == ""
        on.rounds(3, seconds=60)
        on.tree.mine()
        on.rounds(4, seconds=60)
    pace, period = on.ask(lambda custody: custody.pace(CHAIN_ID))
    assert pace.last is not None
    assert pace.last.wallets >= 2
    assert period is not None


def service_without_wallets(on: Rehearsal) -> None:
    """One that was just set up has nothing to compare, and all its verdicts are good."""
    on.fund()
    on.arm()
    parts = attrs.evolve(on._parts, store=JournalStore(lambda *_: None))

    def run(_: Custody) -> None:
        on.time.us += LEASE_MAX_S * MICROSECONDS  # whoever was not answered before leads no more
        custody = parts.custody(on._gate, limits=attrs.evolve(on.stage.limits, key_pool_size=0))
        custody.make_ready()
        custody.tick()
        assert custody.reconcile().ok
        assert custody.pace(CHAIN_ID)[1] is not None

    on.ask(run)


def _found_wrong(on: Rehearsal) -> str:
    """What a comparison finds, all together, and again where a node did not answer. Nothing of it is in suspense."""
    while SILENT in (told := _compared(on)):
        on.time.us += MICROSECONDS
    return told


def _compared(on: Rehearsal) -> str:
    found = on.ask(lambda custody: custody.reconcile())
    booked = {key: each for key, each in on.store.tables.balances.rows.items() if key.kind == "suspense" and each}
    require(not booked, "INV-1", f"{booked} is booked on what nodes made up")
    return "; ".join(each for check in found.checks for each in check.violations)


def _alarms(on: Rehearsal) -> list[str]:
    on.ask(lambda custody: custody.seal())
    committed = on.store._histories["events"]._committed
    return [str(event.type) for event in committed if str(event.type).startswith("alarm.")]


@contextmanager
def _balances_per_request(count: int) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(comparing, "BALANCES_PER_REQUEST", count)
        yield
