"""Sends from many wallets while workers are killed, requests and answers are lost, and the chain is reorganised.

At the end every send is paid exactly once, by the chain's own account; the books agree with it, and nothing is told twice.
"""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from functools import partial

import attrs

from custody_core import OutcomeUnknown
from custody_core.errors import Conflict, FeeUnavailable, NodeUnavailable
from tests.soak.ending import end, require_sound
from tests.soak.mayhem import Mayhem
from tests.soak.payments import Payment, planned, require_paid, require_told_once
from tests.soak.sending_site import Site, prepared_site
from tests.soak.starting import FINAL_DEPTH
from tests.soak.watching import Watch

DEADLINE_S = 1200.0
LOOK_EVERY_S = 1.0
REORG_DEPTH_MAX = FINAL_DEPTH - 2
PASSING = (NodeUnavailable, FeeUnavailable, Conflict, OutcomeUnknown)
"""What a caller is told to try again, under the same key."""


@attrs.frozen
class Figures:
    """What a run came to: what was done, and in spite of what. `seconds` are those from the first send to the last one's end."""

    seed: int
    sends: int
    wallets: int
    geth_rules: bool
    mined: int
    events: int
    seconds: float
    kills: int
    reorgs: int
    deepest_reorg: int
    sends_reorged: int
    requests_lost: int
    answers_lost: int
    answers_within_batches_lost: int
    accepts_tried_again: int

    def line(self) -> str:
        """One line."""
        return "soak: " + " ".join(f"{name}={value}" for name, value in attrs.asdict(self).items())


def run(seed: int, *, sends: int, wallets: int, geth_rules: bool) -> Figures:
    """One run. Raises `AssertionError` where a promise is broken, `TimeoutError` where a send does not get through."""
    chance = random.Random(seed)
    with prepared_site(wallets=wallets, chance=chance, geth_rules=geth_rules) as site, Watch(sends) as watch:
        payments = planned(site, sends, chance)
        start, reorganise = partial(site.processes.start, "scanner"), site.blocks.reorganise
        mayhem = Mayhem(start, reorganise, chance=chance, depth_max=REORG_DEPTH_MAX)
        started_s = time.monotonic()
        site.proxy.be_rough()
        with mayhem:
            ids, tried_again = _accepted(site, payments, mayhem, watch)
            _wait_until_completed(site, sends, mayhem, watch)
        seconds = round(time.monotonic() - started_s, 1)
        site.proxy.be_calm()
        end(site, mayhem)
        mined, told = require_paid(site, payments), require_told_once(site.custody, ids)
        require_sound(site)
        return Figures(
            seed=seed,
            sends=sends,
            wallets=wallets,
            geth_rules=geth_rules,
            mined=mined,
            events=told.events,
            seconds=seconds,
            kills=mayhem.kills,
            reorgs=mayhem.reorgs,
            deepest_reorg=max(mayhem.depths, default=0),
            sends_reorged=told.reorged,
            requests_lost=site.proxy.lost_requests,
            answers_lost=site.proxy.lost_answers,
            answers_within_batches_lost=site.proxy.lost_sends,
            accepts_tried_again=tried_again,
        )


def _accepted(site: Site, payments: Sequence[Payment], mayhem: Mayhem, watch: Watch) -> tuple[list[str], int]:
    """Asks for every payment, again where that is what one is told; their ids, and how often it was again."""
    ids: list[str] = []
    tried_again = 0
    for payment in payments:
        while True:
            try:
                ids.append(_sent(site, payment))
                break
            except PASSING:
                tried_again += 1
        mayhem.require_well()
        watch.tell("accepted", len(ids), kills=mayhem.kills, reorgs=mayhem.reorgs)
    assert len(set(ids)) == len(payments)
    return ids, tried_again


def _sent(site: Site, payment: Payment) -> str:
    return site.custody.transactions.send(
        payment.wallet.id, to=payment.to, amount=payment.amount, asset=payment.asset, idempotency_key=payment.key
    ).id


def _wait_until_completed(site: Site, sends: int, mayhem: Mayhem, watch: Watch) -> None:
    deadline_s = time.monotonic() + DEADLINE_S
    while (states := site.states()) != {"completed": sends}:
        mayhem.require_well()
        if time.monotonic() > deadline_s:
            raise TimeoutError(f"not all sends are completed within {DEADLINE_S} s: {states}")
        completed = states.pop("completed", 0)
        watch.tell("completed", completed, **states, kills=mayhem.kills, reorgs=mayhem.reorgs)
        time.sleep(LOOK_EVERY_S)
