"""Deposits among look-alikes while workers are killed, one of two nodes lies, and the chain is reorganised.

At the end every deposit is credited exactly once and nothing else is, by the chain's own account; the books agree with it, and
each deposit is told once.
"""

from __future__ import annotations

import random
import time
from collections.abc import Mapping
from functools import partial

import attrs

from custody_core.errors import CustodyError
from tests.soak.acts import Acts
from tests.soak.crediting import require_credited
from tests.soak.ending import end, require_sound
from tests.soak.mayhem import Mayhem
from tests.soak.oracle import Oracle
from tests.soak.receiving_site import Site, prepared_site
from tests.soak.starting import FINAL_DEPTH
from tests.soak.strangers import funded
from tests.soak.traffic import Traffic
from tests.soak.watching import Watch
from tests.support.waiting import until

LOOKALIKES_PER_DEPOSIT = 10
ACTS_AT_ONCE = 8
"""How many are sent at once, which is once a block."""

STRANGERS_PER_DEPOSIT = 4
STRANGERS_AT_LEAST = 100

SHARE_OF_OWN_SENDS = 0.04
"""How many of the deposits besides come from our own wallets."""

OWN_SEND_WEI = 10**15
NEEDED_FOR_ONE_WEI = 3 * OWN_SEND_WEI

REORG_DEPTH_MAX = FINAL_DEPTH - 2
MINED_WITHIN_S = 120.0
CREDITED_WITHIN_S = 240.0
"""A node that failed often is left alone for up to a minute."""

LOOK_EVERY_S = 1.0


@attrs.frozen
class Figures:
    """What a run came to. `deposits` and `lookalikes` are those in the chain at the end; of these `quarantined` are dust."""

    seed: int
    liar_is_first: bool
    wallets: int
    deposits: int
    quarantined: int
    lookalikes: int
    from_own_wallets: int
    orphaned: int
    seconds: float
    kills: int
    reorgs: Mapping[int, int]
    fates: Mapping[str, int]
    lies: Mapping[str, int]

    def line(self) -> str:
        """One line, and one for each kind of trouble."""
        fields = attrs.asdict(self)
        parts = {name: fields.pop(name) for name in ("reorgs", "fates", "lies")}
        lines = ["soak: " + " ".join(f"{name}={value}" for name, value in fields.items())]
        lines += [f"soak: {name}: {sum(counts.values())} {_told(counts)}" for name, counts in parts.items()]
        return "\n".join(lines)


def run(seed: int, *, deposits: int, wallets: int, liar_is_first: bool, block_time_s: float) -> Figures:
    """One run. Raises `AssertionError` where a promise is broken, `TimeoutError` where a deposit does not get through."""
    chance = random.Random(seed)
    started = prepared_site(wallets=wallets, liar_is_first=liar_is_first, block_time_s=block_time_s, chance=_other(chance))
    with started as site, Watch(deposits) as watch:
        traffic = _traffic(site, deposits, chance)
        reorganise = partial(site.blocks.reorganise, mined_again=traffic.mined_again)
        mayhem = Mayhem(partial(site.processes.start, "scanner"), reorganise, chance=_other(chance), depth_max=REORG_DEPTH_MAX)
        started_s = time.monotonic()
        site.liar.be_a_liar()
        with site.blocks:
            with mayhem:
                own = _send(site, traffic, mayhem, watch, int(deposits * SHARE_OF_OWN_SENDS), block_time_s, _other(chance))
            site.liar.be_honest()
            _wait_until_credited(site, traffic, mayhem, watch)
            seconds = round(time.monotonic() - started_s, 1)
            end(site, mayhem)
        (last,) = (state.final.number for state in site.custody.chains.states())
        oracle = Oracle(site.node, _addresses(site), site.listed)
        credited = require_credited(site, oracle.movements(last), oracle.balances(last))
        require_sound(site)
        return Figures(
            seed=seed,
            liar_is_first=liar_is_first,
            wallets=wallets,
            deposits=credited.completed,
            quarantined=credited.quarantined,
            lookalikes=traffic.lookalikes,
            from_own_wallets=own,
            orphaned=credited.orphaned,
            seconds=seconds,
            kills=mayhem.kills,
            reorgs=dict(sorted(mayhem.depths.items())),
            fates=dict(traffic.fates),
            lies=dict(site.liar.told),
        )


def _other(chance: random.Random) -> random.Random:
    return random.Random(chance.randrange(2**32))


def _traffic(site: Site, deposits: int, chance: random.Random) -> Traffic:
    """Its strangers have what they need in a final block, so that no reorganisation takes it from them."""
    contracts = site.contracts
    tokens = {contracts.good: "Good", contracts.noret: "NoRet"}
    count = STRANGERS_AT_LEAST + STRANGERS_PER_DEPOSIT * deposits
    strangers = funded(site.node, count, batch=contracts.batch, tokens=tokens, chance=_other(chance))
    site.node.finalize()
    site.node.set_automine(False)
    acts = Acts(contracts, [wallet.address for wallet in site.wallets], _other(chance))
    lookalikes = deposits * LOOKALIKES_PER_DEPOSIT
    return Traffic(site.node, acts, strangers, deposits=deposits, lookalikes=lookalikes, chance=_other(chance))


def _send(site: Site, traffic: Traffic, mayhem: Mayhem, watch: Watch, own_max: int, pause_s: float, chance: random.Random) -> int:
    """Everything, some at each block; and between our own wallets, how often that was."""
    own = 0
    while traffic.is_left:
        mayhem.require_well()
        traffic.send(ACTS_AT_ONCE)
        own += own < own_max and _sent_between_own(site, chance, f"own-{own}")
        lies = site.liar.told.total()
        watch.tell("sent", traffic.deposits, lookalikes=traffic.lookalikes, kills=mayhem.kills, reorgs=mayhem.reorgs, lies=lies)
        time.sleep(pause_s)
    return own


def _sent_between_own(site: Site, chance: random.Random, key: str) -> bool:
    """Asks for a send from one wallet to another; whether it was accepted."""
    sender, to = chance.sample(list(site.wallets), 2)
    ether = next(each for each in site.custody.wallets.balances(sender.id) if each.asset.is_native)
    if ether.available < NEEDED_FOR_ONE_WEI:
        return False
    try:
        site.custody.transactions.send(sender.id, to=to.address, amount=OWN_SEND_WEI, asset="eth", idempotency_key=key)
    except CustodyError:
        return False
    return True


def _wait_until_credited(site: Site, traffic: Traffic, mayhem: Mayhem, watch: Watch) -> None:
    """Until all that was sent is mined, and final to the service."""
    until(lambda: traffic.unmined() == 0, what="all that was sent is mined", timeout_s=MINED_WITHIN_S)
    deadline_s = time.monotonic() + CREDITED_WITHIN_S
    while (left := _left(site)) or not _is_final(site, traffic.highest_block()):
        mayhem.require_well()
        if time.monotonic() > deadline_s:
            raise TimeoutError(f"not within {CREDITED_WITHIN_S} s: {left} are not at their end; {site.custody.chains.states()}")
        completed = site.database.rows("SELECT count(*) FROM deposits WHERE state = 'completed'")[0][0]
        watch.tell("credited", completed, left=left)
        time.sleep(LOOK_EVERY_S)


def _left(site: Site) -> int:
    """How many transactions of both directions are on their way."""
    query = (
        "SELECT (SELECT count(*) FROM deposits WHERE state = 'confirming')"
        " + (SELECT count(*) FROM transactions WHERE state NOT IN ('completed', 'failed', 'cancelled'))"
    )
    return int(site.database.rows(query)[0][0])


def _is_final(site: Site, number: int) -> bool:
    return all(state.final.number >= number for state in site.custody.chains.states())


def _addresses(site: Site) -> frozenset[str]:
    """All that the service watches, those that nobody was told included."""
    return frozenset(address.lower() for (address,) in site.database.rows("SELECT address FROM wallets"))


def _told(counts: Mapping[object, int]) -> str:
    return "(" + ", ".join(f"{name}: {count}" for name, count in counts.items()) + ")"
