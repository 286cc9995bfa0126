"""The chains that are followed: how far, and what stops them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

import attrs

from custody_core.domain.chain import BlockRef, ChainState, Reorganisation, chain_name
from custody_core.domain.resources import chain_text
from custody_core.domain.wallet import Wallet, unfreeze
from custody_core.errors import InvalidStateTransition, NotFound
from custody_core.ports import BlockTag, Found, Unit
from custody_core.services.behind import why_behind
from custody_core.services.checks import require_limit
from custody_core.services.foreign_use import frozen_because
from custody_core.services.kit import SYSTEM_ACTOR, Kit, lease_of, record_audit, record_wallet
from custody_core.services.misshapen import misshapen_count
from custody_core.services.rounds import wake_wallets


@attrs.frozen
class ChainStatus:
    """A followed chain. `head_number` is what the node shows now, None when it does not answer."""

    state: ChainState
    name: str
    head_number: int | None
    is_led: bool = False
    """Whether some process follows it now."""
    behind: str | None = None
    """Why nothing new is sent through its node: it does not answer, is still syncing, or its newest block is too old."""
    last_reorganisation: Reorganisation | None = None

    @property
    def lag_blocks(self) -> int | None:
        """How many blocks we are behind the node."""
        return None if self.head_number is None else max(self.head_number - self.state.cursor.number, 0)


class Chains:
    """`custody.chains`."""

    def __init__(self, kit: Kit) -> None:
        self._kit = kit

    def list(self) -> Sequence[ChainStatus]:
        """Every followed chain, with what its node shows now."""
        now = self._kit.clock.now()

        def work(unit: Unit) -> list[ChainStatus]:
            return [self._status(unit, state, now) for state in unit.chains()]

        return [self._with_node(each) for each in self._kit.read(work)]

    def name(self, chain_id: int) -> str:
        """What the operator calls the chain, or else everybody; its CAIP-2 id where it has no name."""
        return self._kit.chain_names.get(chain_id) or chain_name(chain_id)

    def states(self) -> Sequence[ChainState]:
        """Every followed chain as our books have it; asks no node."""
        return self._kit.read(lambda unit: unit.chains())

    def heads(self) -> Mapping[int, BlockRef]:
        """Chain id → the newest block that we follow, from which confirmations are counted."""
        return {state.chain_id: state.cursor for state in self.states()}

    def misshapen_logs(self) -> Mapping[int, int]:
        """Chain id → how many logs of listed tokens about wallets were passed over: they are no transfers by their shape."""
        return self._kit.read(lambda unit: {each.chain_id: misshapen_count(unit, each.chain_id) for each in unit.chains()})

    def reorganisations(self, chain_id: int, *, limit: int = 50) -> Sequence[Reorganisation]:
        """What was taken back on that chain, newest first. Raises `InvalidRequest`."""
        require_limit(limit)
        return self._kit.read(lambda unit: unit.reorganisations(chain_id, limit=limit))

    def resume(self, chain_id: int, *, actor: str = SYSTEM_ACTOR) -> ChainState:
        """Lets a halted chain go on, on the word of an operator who has looked. If the node's final block is still another than
        the one in our books, the next round halts the chain again.

        Raises `NotFound`, `InvalidStateTransition`.
        """

        def work(unit: Unit) -> ChainState:
            state = unit.chain(chain_id, lock=True)
            if state is None:
                raise NotFound(f"{chain_text(chain_id)} is not followed")
            if state.halted_reason is None:
                raise InvalidStateTransition(f"{chain_text(chain_id)} is not halted")
            resumed = attrs.evolve(state, halted_reason=None, version=state.version + 1)
            unit.save_chain(resumed)
            now = self._kit.clock.now()
            record_audit(self._kit, unit, now=now, actor=actor, action="chain.resumed", object_id=chain_text(chain_id))
            return resumed

        return self._kit.write(work)

    def adopt(self, chain_id: int, *, actor: str = SYSTEM_ACTOR) -> Sequence[Wallet]:
        """Takes the chain's word for what happened to wallets that were stopped because they were used elsewhere, on the word of
        an operator who has looked: their next nonce is after those that are used, and they may send again. The wallets.

        What they had queued failed when that became final (`give_up_queued`).

        Raises `NotFound`; `InvalidStateTransition` while what was used is not final yet.
        """

        def work(unit: Unit) -> Sequence[Wallet]:
            now = self._kit.clock.now()
            if unit.chain(chain_id, lock=True) is None:
                raise NotFound(f"{chain_text(chain_id)} is not followed")
            if unit.unsettled_foreign_uses(chain_id):
                raise InvalidStateTransition("what was sent elsewhere is not final yet; wait for its finality, then adopt")
            stopped = unit.wallets_by_id({each.id for each in _stopped(unit, [chain_id])}, lock=True)
            opened = [unfreeze(each, now=now) for each in stopped.values()]
            for wallet in opened:
                record_wallet(self._kit, unit, wallet, "wallet.unfrozen", actor=actor, now=now)
            wake_wallets(self._kit, unit, list(stopped), now)
            record_audit(self._kit, unit, now=now, actor=actor, action="chain.adopted", object_id=chain_text(chain_id))
            return opened

        return self._kit.write(work)

    def stopped_wallets(self) -> Sequence[Wallet]:
        """The wallets that were stopped because they were used elsewhere, on whatever chain; `adopt` lets them go on."""
        return self._kit.read(lambda unit: _stopped(unit, list(self._kit.chains)))

    def _status(self, unit: Unit, state: ChainState, now: datetime) -> ChainStatus:
        led_until = unit.lease_until(lease_of(state.chain_id))
        reorganised = unit.reorganisations(state.chain_id, limit=1)
        return ChainStatus(
            state,
            self.name(state.chain_id),
            None,
            is_led=led_until is not None and led_until > now,
            last_reorganisation=reorganised[0] if reorganised else None,
        )

    def _with_node(self, status: ChainStatus) -> ChainStatus:
        chain_id = status.state.chain_id
        chain = self._kit.chains.get(chain_id)
        if chain is None:
            return status
        synced = chain.synced_head()
        head = synced if isinstance(synced, Found) else chain.header(BlockTag.LATEST)
        number = head.value.number if isinstance(head, Found) else None
        return attrs.evolve(status, head_number=number, behind=why_behind(self._kit, chain_id, synced))


def _stopped(unit: Unit, chain_ids: Sequence[int]) -> list[Wallet]:
    reasons = {frozen_because(chain_id) for chain_id in chain_ids}
    return [each for each in unit.frozen_wallets() if each.frozen_by == SYSTEM_ACTOR and each.state_reason in reasons]
