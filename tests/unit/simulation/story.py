"""One story: a seed, its swarm of faults, a phase in which everything may break, and one in which everything has to end well."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import attrs

from custody_memory.chain import recover_address
from custody_memory.keys import MemoryKeys
from tests.unit.simulation import keys
from tests.unit.simulation.block_tree import BlockTree
from tests.unit.simulation.calm import Calm
from tests.unit.simulation.chance import StreamEntropy, Streams
from tests.unit.simulation.decisions import WORLD, Decisions
from tests.unit.simulation.desk import Desk
from tests.unit.simulation.faults import Faults
from tests.unit.simulation.gate import OpenGate
from tests.unit.simulation.invariants import Invariants
from tests.unit.simulation.journal import JournalStore
from tests.unit.simulation.lies import Lies
from tests.unit.simulation.nodes import Nodes
from tests.unit.simulation.operators import POLICY
from tests.unit.simulation.oracle import Oracle
from tests.unit.simulation.processes import Scheduler
from tests.unit.simulation.script import Script
from tests.unit.simulation.shape import drawn
from tests.unit.simulation.site import CHAIN_ID, Parts, Site, Watch
from tests.unit.simulation.tiny import tiny
from tests.unit.simulation.trace import Trace
from tests.unit.simulation.untraced import Untraced, impatient
from tests.unit.simulation.views import View
from tests.unit.simulation.virtual_time import MICROSECONDS, VirtualTime
from tests.unit.simulation.weather import Weather

STEPS: Final = 2_000
REAL_CURVE_EVERY: Final = 1_000


@attrs.frozen
class Told:
    """What a story came to."""

    seed: int
    steps: int
    commits: int
    kills: int
    intents: int
    seconds: float
    digest: str
    struck: dict[str, int]


class Story:
    """The story of a seed. `only` names the kinds of faults that may be drawn; None means all. With a script, what it says.

    `patience` is the share of the usual time in which everything has to come to its end.
    """

    def __init__(
        self, seed: int, *, steps: int = STEPS, only: Iterable[str] | None = None, script: Script | None = None, patience: float = 1
    ) -> None:
        self.seed, self._steps = seed, steps
        streams = Streams(seed)
        self.shape = shape = script.shape if script else drawn(streams)
        self._skews = streams.stream("skews")
        self._until_us = script.until_us if script else None
        self.is_calm = False
        self.trace, self.time = Trace(), VirtualTime()
        self.decisions = Decisions(self.time, script.decisions if script else None)
        self.faults = Faults(streams, self.decisions, only=only)
        is_real = seed % REAL_CURVE_EVERY == REAL_CURVE_EVERY - 1
        entropy = StreamEntropy(streams.stream("entropy"))
        recover = recover_address if is_real else keys.recover
        self.tree = BlockTree(CHAIN_ID, finality_lag=shape.finality_lag, recover=recover)
        views_chance, statements = streams.stream("views"), streams.stream("statements")
        lies = Lies()
        views = [View(self.tree, self.faults, views_chance, lies=lies) for _ in range(shape.views)]
        views[0].may_lie = len(views) > 1
        views[0].may_omit = shape.minimum_wei is not None
        self._oracle = Oracle(self.tree)
        self._invariants = Invariants(self._oracle, shape.limits, lies)
        self.store = JournalStore(self._invariants.committed)
        signer = MemoryKeys(entropy) if is_real else keys.FakeCurveKeys(entropy)
        self._parts = Parts(
            self.store,
            Nodes(CHAIN_ID, views, Untraced(self.tree, lies, self.time, lambda: self.faults.struck["clock-jump"] > 0)),
            signer,
            entropy,
            self.time,
            Watch(self._invariants),
            limits=shape.limits,
            yields=(lambda: self.decisions.take("yields", lambda: statements.random() < 0.5, False))
            if shape.is_interleaved
            else None,
        )
        self._open()
        self.desk = Desk(streams.stream("desk"), self.decisions, token="usdc", token_address=self._token)
        self.scheduler = Scheduler(streams, self.time, self.decisions, self.faults, self.trace)
        self._recounted = 0
        self.scheduler.on_look(self._look_over)
        site = Site(self._parts, self.scheduler, self.desk, skew_us=self._skew_us)
        weather = Weather(
            streams.stream("weather"),
            self.decisions,
            self.tree,
            views,
            self.scheduler,
            self.faults,
            self.desk,
            self._token,
            self._odd_token,
            self._oracle,
            site.clocks,
            has_tags=shape.confirmations is None,
        )
        site.start()
        weather.start()
        self._calm = Calm(self._parts, self.scheduler, weather, self.desk, self.tree, self._invariants, patience)
        self._calm.start()

    def tell(self) -> Told:
        """Tells it to its end. Raises a `Failure`."""
        try:
            self.tell_trouble()
            self.is_calm = True
            self.faults.end()
            with tiny(self.shape.is_tiny), impatient(self.faults.may_strike("traces-fail")):
                self._calm.live()
            self._look_over()
        finally:
            self.scheduler.close()
        return Told(
            self.seed,
            self.scheduler.steps,
            self.store.commits,
            self.scheduler.kills,
            len(self.desk.intents),
            self.time.seconds,
            self.trace.digest(),
            dict(self.faults.struck),
        )

    def tell_trouble(self) -> None:
        """Tells it until the trouble ends."""
        with tiny(self.shape.is_tiny), impatient(self.faults.may_strike("traces-fail")):
            while self.scheduler.steps < self._steps if self._until_us is None else self.scheduler.next_us <= self._until_us:
                self._step()
            self._until_us = self.time.us
            while self.scheduler.next_us <= self._until_us:
                self._step()
        self._look_over()

    def script(self) -> Script:
        """What was decided so far."""
        until_us = min(self.time.us, self.time.us if self._until_us is None else self._until_us)
        return Script(self.seed, self.shape, until_us, tuple(self.decisions.taken))

    def _step(self) -> None:
        self.decisions.who = WORLD
        if self.faults.roll("power-cut"):
            self.scheduler.kill_all()
        self.scheduler.step()

    def recount(self) -> None:
        """Everything that is committed is as it has to be."""
        self._invariants.recount(self.store.tables)

    def _look_over(self) -> None:
        """The same, if anything was committed since the last time."""
        if self._recounted < self.store.commits:
            self._recounted = self.store.commits
            self.recount()

    def _open(self) -> None:
        """What an operator does once: the chain's row, the policy, a token."""
        token = self.tree.deploy_token()
        self._oracle.tokens.add(bytes.fromhex(token[2:]))
        self._token = token
        self._odd_token = self.tree.deploy_token() if self.shape.has_odd_token else None
        if self._odd_token is not None:
            self._oracle.tokens.add(bytes.fromhex(self._odd_token[2:]))
            self._oracle.odd.add(self._odd_token.lower())
        self.faults.pause()
        with self._parts.custody(OpenGate()) as custody:
            custody.make_ready()
            custody.policies.publish(POLICY)
            custody.tokens.add(chain_id=CHAIN_ID, address=token, alias="usdc", decimals=6)
            if self._odd_token is not None:
                custody.tokens.add(chain_id=CHAIN_ID, address=self._odd_token, alias="odd", decimals=18)
        self.faults.resume()

    def _skew_us(self) -> int:
        return self.faults.strike("clock-skew", lambda: self._skews.randrange(-2 * MICROSECONDS, 2 * MICROSECONDS)) or 0
