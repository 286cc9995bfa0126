"""The service's processes on the simulated world: two that serve requests, two that do the background work."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Final

import attrs

from custody_core import Custody, CustodyError, Limits, OutcomeUnknown
from custody_core.domain.encoding import keccak256
from custody_core.domain.wallet import SealedKey
from custody_core.ports import Chain, Keys, SignedTransaction, Store
from custody_memory.observer import SilentObserver
from tests.unit.simulation.chance import StreamEntropy
from tests.unit.simulation.desk import Desk
from tests.unit.simulation.gate import Fate, Gate, Killed, OpenGate
from tests.unit.simulation.interleaving import InterleavedStore
from tests.unit.simulation.invariants import Invariants
from tests.unit.simulation.journal import JournalStore
from tests.unit.simulation.ports import GatedChain, GatedKeys, GatedStore
from tests.unit.simulation.processes import Job, Process, Scheduler, Thread
from tests.unit.simulation.virtual_time import ProcessClock, VirtualTime

CHAIN_ID: Final = 31_337
IDLE_S: Final = 4.0
THINKING_S: Final = 2.5
LIMITS: Final = Limits(
    key_pool_size=3, in_flight_max=4, lease=timedelta(seconds=8), blocks_per_commit_max=5, gas_limit_max=1_000_000
)


class Watch:
    """Tells the invariants what leaves the processes."""

    def __init__(self, invariants: Invariants) -> None:
        self._invariants = invariants
        self.acts = 0
        """How many signatures were made and how often bytes left."""

    def signed(self, key: SealedKey, signed: SignedTransaction) -> None:
        """A signature."""
        self.acts += 1
        self._invariants.signed(key, signed)

    def broadcasting(self, raws: Sequence[bytes]) -> None:
        """Bytes."""
        self.acts += 1
        self._invariants.broadcasting(raws, lambda raw: "0x" + keccak256(raw).hex())


@attrs.frozen
class Parts:
    """What every process of a site works with."""

    store: JournalStore
    chain: Chain
    keys: Keys
    entropy: StreamEntropy
    time: VirtualTime
    watch: Watch
    locks: dict[object, object] = attrs.field(factory=dict)
    limits: Limits = LIMITS
    yields: Callable[[], bool] | None = None
    """Where units are interleaved statement by statement: whether others go on before the next one."""

    def store_for(self, gate: Gate) -> Store:
        """The store of one thread."""
        if self.yields is None or isinstance(gate, OpenGate):
            return GatedStore(self.store, gate)
        return InterleavedStore(self.store, gate, self.locks, self.yields)

    def custody(self, gate: Gate, *, clock: ProcessClock | None = None, limits: Limits | None = None) -> Custody:
        """A `Custody` for one thread, or for all threads that share `gate`."""
        return Custody(
            store=self.store_for(gate),
            chains={CHAIN_ID: GatedChain(self.chain, gate, self.watch, lambda: self.store.is_open)},
            keys=GatedKeys(self.keys, gate, self.watch),
            clock=clock or ProcessClock(self.time, sleep=gate.sleep),
            entropy=self.entropy,
            observer=SilentObserver(),
            limits=limits or self.limits,
        )


class Switchboard:
    """The gate of a process whose threads share one `Custody`: each call goes to the thread that makes it."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler

    def enter(self, call: str) -> Fate:
        """Waits, in the thread that runs now."""
        return self._scheduler.running.enter(call)

    def leave(self, fate: Fate) -> None:
        """In the thread that runs now."""
        self._scheduler.running.leave(fate)

    def sleep(self, seconds: float) -> None:
        """In the thread that runs now."""
        self._scheduler.running.sleep(seconds)


class Site:
    """Starts processes, and starts them again."""

    def __init__(self, parts: Parts, scheduler: Scheduler, desk: Desk, *, skew_us: Callable[[], int]) -> None:
        self._parts = parts
        self._scheduler = scheduler
        self._desk = desk
        self._skew_us = skew_us
        self.clocks: dict[str, ProcessClock] = {}
        """Each machine's, by the name of its process."""
        scheduler.on_death(self._reborn)

    def start(self) -> None:
        """All of them."""
        for name in ("web-1", "web-2", "scanner-1", "scanner-2"):
            self._start(name)

    def _reborn(self, process: Process, after_s: float) -> None:
        self._scheduler.after(after_s, f"{process.name} starts again", lambda: self._start(process.name))

    def _start(self, name: str) -> None:
        gate = Switchboard(self._scheduler)
        self.clocks[name] = ProcessClock(self._parts.time, sleep=gate.sleep, skew_us=self._skew_us())
        custody = self._parts.custody(gate, clock=self.clocks[name])
        jobs = self._web(custody) if name.startswith("web") else self._scanner(custody)
        self._scheduler.start(Process(name), jobs)

    def _web(self, custody: Custody) -> Mapping[str, Job]:
        def serve(thread: Thread) -> None:
            while True:
                request = self._desk.next()
                if request is None:
                    thread.sleep(IDLE_S)
                    continue
                try:
                    self._scheduler.note(thread, f"is asked for {request.name}")
                    self._scheduler.note(thread, f"answers {self._desk.serve(custody, request)}")
                except Killed:
                    self._desk.again(request)
                    raise
                thread.sleep(THINKING_S)

        return {"serves": serve}

    def _scanner(self, custody: Custody) -> Mapping[str, Job]:
        work: Mapping[str, tuple[float, Callable[[], object]]] = {
            "follows": (IDLE_S, lambda: custody.follow(CHAIN_ID)),
            "sends": (IDLE_S, lambda: custody.advance(CHAIN_ID)),
            "compares": (40, lambda: custody.compare(CHAIN_ID)),
            "makes": (30, custody.make_ready),
            "seals": (20, custody.seal),
        }
        return {name: self._every(interval_s, act) for name, (interval_s, act) in work.items()}

    def _every(self, interval_s: float, act: Callable[[], object]) -> Job:
        def run(thread: Thread) -> None:
            while True:
                try:
                    act()
                except (CustodyError, OutcomeUnknown) as problem:
                    self._scheduler.note(thread, f"could not: {problem.code}")
                thread.sleep(interval_s)

        return run
