"""The trouble has ended: everything comes to its end within hours, or, where finality is broken for good, stands still."""

from __future__ import annotations

from contextlib import suppress
from typing import Final

import attrs

from custody_core.domain.chain import ChainState
from custody_core.domain.wallet import WalletState
from custody_core.errors import InvalidStateTransition
from custody_core.services.kit import rescan_lease_of
from tests.unit.simulation.block_tree import BlockTree
from tests.unit.simulation.desk import FROZEN_BECAUSE, Desk
from tests.unit.simulation.ending import Ending, what_is_left
from tests.unit.simulation.failures import NotLive, require
from tests.unit.simulation.gate import OpenGate
from tests.unit.simulation.invariants import Invariants
from tests.unit.simulation.processes import Scheduler
from tests.unit.simulation.site import CHAIN_ID, Parts
from tests.unit.simulation.virtual_time import MICROSECONDS
from tests.unit.simulation.weather import Weather

LIVENESS_S: Final = 4 * 3_600
LIVENESS_STEPS: Final = 20_000
OPERATOR_LOOKS_S: Final = 50
HALTED_WITHIN_S: Final = 600
"""By then a chain is halted of which a final block has changed, and another time after somebody let it go on."""
SETTLES_WITHIN_S: Final = 120
"""What was under way when it was halted comes to its end by then."""
RESCAN_LEASE_S: Final = 60
"""So long at a time the lease of somebody is waited for who died while reading blocks again."""
STANDS_STILL_S: Final = 600


@attrs.define(eq=False)
class Calm:
    """Sees to it that a story ends, with an operator who looks now and then. `patience` is the share of the usual time."""

    _parts: Parts
    _scheduler: Scheduler
    _weather: Weather
    _desk: Desk
    _tree: BlockTree
    _invariants: Invariants
    _patience: float
    _stands_still: bool = False

    def start(self) -> None:
        """From here on the operator looks."""
        self._scheduler.after(OPERATOR_LOOKS_S, "an operator looks", self._look)

    def live(self) -> None:
        """Within four hours of virtual time everything comes to its end."""
        self._weather.calm_down()
        self._weather.is_generous, self._desk.is_open = False, False
        began_us, steps_max = self._parts.time.us, self._scheduler.steps + int(LIVENESS_STEPS * self._patience)
        until_us = began_us + int(LIVENESS_S * self._patience) * MICROSECONDS
        while left := self._what_is_left():
            if self._is_cut_off:
                self._stand_still()
                return
            if self._parts.time.us > until_us or self._scheduler.steps > steps_max:
                raise NotLive(f"{(self._parts.time.us - began_us) / 3_600e6:.1f} hours after the trouble ended: {left}")
            for _ in range(100):
                self._scheduler.step()
            self._adopt()
        self._read_what_was_left_out()
        with self._parts.custody(OpenGate()) as custody:
            if self._invariants.arrivals.missed:
                custody.scans.rescan(1, self._chain_state.final.number)
            self._ending().require_the_end(custody)
        self._invariants.require_late_books()

    def _what_is_left(self) -> str:
        """Before the branch is the chain that stays, everything may be done and is not at its end: finality is yet to be broken."""
        left = what_is_left(self._parts.store, self._desk, self._tree)
        is_to_change = self._weather.is_torn or not self._is_on_the_chain
        return left or ("another branch is the chain for a while" if is_to_change else "")

    def _ending(self) -> Ending:
        return Ending(self._parts.store, self._desk, self._tree, self._invariants)

    def _read_what_was_left_out(self) -> None:
        """Who reads blocks again may have died. Its lease ends, and an operator reads the rest; until then nothing is compared."""
        with self._parts.custody(OpenGate()) as custody:
            while until := custody._kit.read(lambda unit: unit.lease_until(rescan_lease_of(CHAIN_ID))):
                if custody._kit.clock.now() >= until:
                    break
                self._run_for(RESCAN_LEASE_S)
            for left_out in custody.scans.unfinished():
                custody.scans.rescan(left_out.first, left_out.last)

    @property
    def _is_cut_off(self) -> bool:
        """Whether the books' final block is not the chain's, and will not be."""
        return not self._weather.is_torn and not self._is_on_the_chain

    @property
    def _is_on_the_chain(self) -> bool:
        """Whether the books' final block is one of the chain's."""
        return self._tree.height_of(self._chain_state.final.hash) is not None

    def _look(self) -> None:
        """An operator lets a halted chain go on, whatever its node shows."""
        if not self._stands_still:
            self._scheduler.after(OPERATOR_LOOKS_S, "an operator looks", self._look)
            self._resume()

    def _resume(self) -> None:
        if self._chain_state.halted_reason is not None:
            with self._parts.custody(OpenGate()) as custody:
                custody.chains.resume(CHAIN_ID)

    def _stand_still(self) -> None:
        """What was credited cannot be taken back: the chain is halted, and again after each time that it is let go on. Nothing is
        credited, signed or sent, and nothing is reversed.
        """
        self._stands_still = True
        for _ in range(2):
            self._resume()
            began_us = self._parts.time.us
            while self._chain_state.halted_reason is None:
                if self._parts.time.us > began_us + HALTED_WITHIN_S * MICROSECONDS:
                    raise NotLive("a final block has changed, and the chain is not halted")
                self._scheduler.step()
            self._run_for(SETTLES_WITHIN_S)
        before, acts = self._chain_state, self._parts.watch.acts
        self._run_for(STANDS_STILL_S)
        require(self._chain_state == before, "INV-23", "the chain is halted and goes on")
        require(self._parts.watch.acts == acts, "INV-23", "the chain is halted, and something is signed or sent")
        with self._parts.custody(OpenGate()) as custody:
            self._ending().require_the_end_of_a_halted_chain(custody)

    def _run_for(self, seconds: float) -> None:
        until_us = self._parts.time.us + int(seconds * MICROSECONDS)
        while self._parts.time.us < until_us:
            self._scheduler.step()

    @property
    def _chain_state(self) -> ChainState:
        (state,) = list(self._parts.store.tables.chains)
        return state

    def _adopt(self) -> None:
        """An operator looks at wallets that were used elsewhere, and lets them go on once that is final; then at the others."""
        with self._parts.custody(OpenGate()) as custody, suppress(InvalidStateTransition):
            if custody.chains.stopped_wallets():
                custody.chains.adopt(CHAIN_ID)
            for wallet in self._parts.store.tables.wallets:
                if wallet.state_reason == FROZEN_BECAUSE and wallet.state is WalletState.FROZEN:
                    custody.wallets.unfreeze(wallet.id)
