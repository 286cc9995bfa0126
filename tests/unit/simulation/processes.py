"""Processes, each with some threads, and the scheduler that owns every switch between them.

A thread is a greenlet. It runs until its next call to a port, where it waits for its turn, which comes after a latency drawn from
the seed. Everything that happens is an entry in one queue by time; so the same seed gives the same order.

A process that is killed is fenced: its threads are unwound, and nothing that they do meanwhile reaches a port.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Final

from greenlet import getcurrent, greenlet

from tests.unit.simulation.chance import Streams
from tests.unit.simulation.decisions import WORLD, Decisions
from tests.unit.simulation.failures import Crashed, Failure
from tests.unit.simulation.faults import Faults
from tests.unit.simulation.gate import Fate, Killed
from tests.unit.simulation.trace import Trace
from tests.unit.simulation.virtual_time import MICROSECONDS, VirtualTime

LATENCIES_US: Final = (200, 1_000, 1_000, 3_000, 10_000, 40_000, 400_000)
LATENCY_US: Final = 1_000
RESTARTS_AFTER_S: Final[Sequence[float]] = (0.1, 1, 5, 45)
RESTART_AFTER_S: Final[float] = 1
LOOK_EVERY: Final = 256
PAUSES_S: Final = (1, 10, 12, 30, 120)

_TROUBLE: Final[Mapping[str, tuple[tuple[str, Fate], ...]]] = {
    "commit": (("conflict", Fate.REFUSED), ("commit-lost", Fate.LOST_BEFORE), ("commit-unheard", Fate.LOST_AFTER)),
    "broadcast": (("broadcast-lost", Fate.LOST_BEFORE), ("broadcast-unheard", Fate.LOST_AFTER)),
    "sign": (("signer-away", Fate.REFUSED),),
    "verify": (("signer-away", Fate.REFUSED),),
    "create": (("signer-away", Fate.REFUSED),),
}
_DEATHS: Final = (("kill-before", Fate.KILLED_BEFORE), ("kill-after", Fate.KILLED_AFTER))

Job = Callable[["Thread"], None]


class Process:
    """One life of a process: fenced once it is dead."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.is_dead = False
        self.paused_until_us = 0
        self.threads: list[Thread] = []


class Thread:
    """One thread of a process, and the gate of its ports."""

    def __init__(self, scheduler: Scheduler, process: Process, name: str, job: Job) -> None:
        self.name = f"{process.name}.{name}"
        self.process = process
        self.call = "begins"
        self._scheduler = scheduler
        self._job = job
        self.greenlet = greenlet(self._run)
        process.threads.append(self)

    def enter(self, call: str) -> Fate:
        """Waits for the turn of this call."""
        if self.process.is_dead:
            raise Killed
        self.call = call
        fate: Fate = self._scheduler.wait_for_turn(self)
        if fate is Fate.KILLED_BEFORE:
            raise Killed
        return fate

    def leave(self, fate: Fate) -> None:
        """Dies here, if that is the call's fate."""
        if fate is Fate.KILLED_AFTER or self.process.is_dead:
            raise Killed

    def sleep(self, seconds: float) -> None:
        """Wakes that much later."""
        if self.process.is_dead:
            raise Killed
        self.call = ""
        self._scheduler.sleep(self, seconds)

    def _run(self, _: object) -> None:
        with suppress(Killed):
            self._job(self)


class Scheduler:
    """The queue of everything that is going to happen."""

    def __init__(self, streams: Streams, time: VirtualTime, decisions: Decisions, faults: Faults, trace: Trace) -> None:
        self.time = time
        self._chance = streams.stream("scheduler")
        self._decisions = decisions
        self._faults = faults
        self._trace = trace
        self._queue: list[tuple[int, int, Thread | tuple[str, Callable[[], None]]]] = []
        self._entries = 0
        self._hub = getcurrent()
        self._reborn: Callable[[Process, float], None] = lambda _process, _seconds: None
        self._look: Callable[[], None] = lambda: None
        self._alive: list[Process] = []
        self.running: Thread
        """The thread that runs now, or ran last."""
        self.steps = 0
        self.kills = 0

    def on_death(self, reborn: Callable[[Process, float], None]) -> None:
        """Who is told that a process died, and in how many seconds it is started again."""
        self._reborn = reborn

    def on_look(self, look: Callable[[], None]) -> None:
        """What is asked every `LOOK_EVERY` steps, and whenever a process starts; between two steps, so within no call."""
        self._look = look

    def start(self, process: Process, jobs: Mapping[str, Job]) -> None:
        """Starts the threads of a process."""
        self._look()
        self._alive.append(process)
        for name, job in jobs.items():
            self._push(self._latency_us(), Thread(self, process, name, job))

    def after(self, seconds: float, name: str, act: Callable[[], None]) -> None:
        """Has something happen later that is no process's doing."""
        self._push(int(seconds * MICROSECONDS), (name, act))

    @property
    def next_us(self) -> int:
        """When something is due next."""
        return self._queue[0][0]

    def step(self) -> None:
        """What is due next."""
        self.steps += 1
        if self.steps % LOOK_EVERY == 0:
            self._look()
        at_us, _, due = heapq.heappop(self._queue)
        self.time.us = max(self.time.us, at_us)
        if isinstance(due, Thread):
            self._resume(due)
        else:
            name, act = due
            self._decisions.who = WORLD
            self._trace.add(self.time.us, "world", name)
            act()

    def wait_for_turn(self, thread: Thread) -> Fate:
        """Called in a thread: goes on elsewhere until this call's turn."""
        self._push(self._latency_us(), thread)
        fate: Fate = self._hub.switch()
        return fate

    def sleep(self, thread: Thread, seconds: float) -> None:
        """Called in a thread: goes on elsewhere, until the next full multiple of that time.

        So a round that takes longer does not shift those after it, and a story can be shrunk round by round.
        """
        period_us = int(seconds * MICROSECONDS)
        self._push(period_us - self.time.us % period_us, thread)
        self._hub.switch()

    def note(self, thread: Thread, what: str) -> None:
        """A line in the trace."""
        self._trace.add(self.time.us, thread.name, what)

    def kill_all(self) -> None:
        """The power is cut: every process dies at once."""
        for process in list(self._alive):
            self._die(process)

    def close(self) -> None:
        """Unwinds every thread, so that a story that is over keeps no memory."""
        for process in self._alive:
            process.is_dead = True
            self._unwind(process)
        self._queue.clear()

    def _push(self, in_us: int, what: Thread | tuple[str, Callable[[], None]]) -> None:
        self._entries += 1
        heapq.heappush(self._queue, (self.time.us + in_us, self._entries, what))

    def _resume(self, thread: Thread) -> None:
        process = thread.process
        if process.is_dead:
            return
        if process.paused_until_us > self.time.us:
            self._push(process.paused_until_us - self.time.us, thread)
            return
        self._decisions.who = thread.name
        fate = self._fate(thread)
        self._trace.add(self.time.us, thread.name, thread.call, "" if fate is Fate.DONE else fate.name)
        if fate is Fate.KILLED_BEFORE:
            self._die(process)
            return
        self._switch(thread, fate)
        if fate is Fate.KILLED_AFTER:
            self._die(process)

    def _switch(self, thread: Thread, fate: Fate) -> None:
        self.running = thread
        try:
            thread.greenlet.switch(fate)
        except Failure:
            raise
        except Exception as problem:
            raise Crashed(f"{thread.name} raised {type(problem).__name__}: {problem}") from problem

    def _fate(self, thread: Thread) -> Fate:
        if not thread.call:
            return Fate.DONE
        for kind, fate in _TROUBLE.get(thread.call, ()):
            if self._faults.roll(kind):
                return fate
        for kind, fate in _DEATHS:
            if self._faults.roll(kind):
                return fate
        seconds = self._faults.strike("pause", lambda: self._chance.choice(PAUSES_S))
        if seconds is not None:
            # It goes on in the middle of this call, when somebody else may have taken over.
            thread.process.paused_until_us = self.time.us + int(seconds * MICROSECONDS)
        return Fate.DONE

    def _latency_us(self) -> int:
        return self._decisions.take("latency", lambda: self._chance.choice(LATENCIES_US), LATENCY_US)

    def _die(self, process: Process) -> None:
        process.is_dead = True
        self.kills += 1
        self._alive.remove(process)
        self._unwind(process)
        self._trace.add(self.time.us, process.name, "dies")
        after_s = self._decisions.take("restart after", lambda: self._chance.choice(RESTARTS_AFTER_S), RESTART_AFTER_S)
        self._reborn(process, after_s)

    def _unwind(self, process: Process) -> None:
        for thread in process.threads:
            if thread.greenlet and thread.greenlet is not getcurrent():
                self.running = thread
                thread.greenlet.throw(Killed)
