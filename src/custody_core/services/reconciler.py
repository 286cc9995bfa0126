"""Comparing the books with the chain all the time: the wallets in turn, a few per request, within a budget of requests.

One process at a time does it for a chain (a lease). How far it has come is kept with the books, so a new process goes on where the
last one ended. A pass over all wallets takes as long as their number and the budget say; what comes to an address without a trace
in the blocks is found within one pass of its finality. Each pass compares one of the listed tokens, in turn, also for the wallets
that have none of it in their books: a missed transfer to one of these is found within as many passes as there are listed tokens.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import attrs

from custody_core.ports import Unit
from custody_core.services.comparing import Slice, compare_after, listed_tokens
from custody_core.services.kit import Kit


@attrs.frozen
class Pass:
    """One pass over all wallets, or as much as there was of it: when it began, at which final block, how far it came, and the token
    (asset key) that it compares for every wallet.
    """

    began_at: datetime
    block_hash: str
    wallets: int = 0
    requests: int = 0
    violations: int = 0
    token: str | None = None


@attrs.frozen
class Pace:
    """How far the comparison of one chain has come. `last` is the last whole pass, which ended at `last_ended_at`."""

    after: str = ""
    current: Pass | None = None
    due_at: datetime | None = None
    last: Pass | None = None
    last_ended_at: datetime | None = None


class Reconciler:
    """The continuous comparison of one chain."""

    def __init__(self, kit: Kit, chain_id: int, *, holder: str) -> None:
        self._kit = kit
        self._chain_id = chain_id
        self._holder = holder

    @property
    def interval(self) -> timedelta:
        """What lies between two requests."""
        return timedelta(minutes=1) / self._kit.limits.reconcile_requests_per_minute

    def run(self) -> int:
        """Compares the next wallets, if that is due; how many. While no block became final since the last pass began, no node is
        asked: it would say the same.
        """
        chain, now = self._kit.chain(self._chain_id), self._kit.clock.now()
        final, pace, listed = self._kit.read(self._read)
        if final is None or (pace.due_at is not None and now < pace.due_at) or not self._lead(now):
            return 0
        if pace.current is None:
            if pace.last is not None and pace.last.block_hash == final and not pace.last.violations:
                return 0
            pace = attrs.evolve(pace, after="", current=Pass(now, final, token=_next(listed, pace.last)))
        token = pace.current.token if pace.current else None
        found = compare_after(self._kit, chain, pace.after, tokens=[each for each in listed if each == token])
        gone_on = _after(pace, found, now)
        due_at = now + self.interval * (found.requests if found else 0)
        self._kit.write(lambda unit: unit.put_setting(_name(self._chain_id), _text(attrs.evolve(gone_on, due_at=due_at))))
        for violation in found.violations if found else ():
            self._kit.observer.trouble("reconciliation-mismatch", violation)
        return found.wallets if found else 0

    def step_down(self) -> None:
        """Gives up the lease, so that another process need not wait for its end."""
        now = self._kit.clock.now()
        self._kit.write(lambda unit: unit.take_lease(self._lease, holder=self._holder, now=now, until=now))

    def pace(self) -> Pace:
        """How far it has come."""
        return self._kit.read(self._read)[1]

    def period(self, pace: Pace) -> timedelta | None:
        """How long a pass over all wallets takes, as the last one went; None before there was one."""
        return None if pace.last is None else max(self.interval * pace.last.requests, self.interval)

    @property
    def _lease(self) -> str:
        return f"reconcile:{self._chain_id}"

    def _lead(self, now: datetime) -> bool:
        until = now + self._kit.limits.lease
        return self._kit.write(lambda unit: unit.take_lease(self._lease, holder=self._holder, now=now, until=until))

    def _read(self, unit: Unit) -> tuple[str | None, Pace, Sequence[str]]:
        state, kept = unit.chain(self._chain_id), unit.setting(_name(self._chain_id))
        listed = listed_tokens(unit, self._chain_id)
        return None if state is None else state.final.hash, _pace(kept) if kept else Pace(), listed


def _next(listed: Sequence[str], last: Pass | None) -> str | None:
    """The token whose turn it is after that pass."""
    before = last.token if last and last.token else ""
    return next((token for token in listed if token > before), listed[0] if listed else None)


def _after(pace: Pace, found: Slice | None, now: datetime) -> Pace:
    """`pace` after one slice; the last one ends the pass."""
    current = pace.current or Pass(now, "")
    if found is not None:
        current = attrs.evolve(
            current,
            wallets=current.wallets + found.wallets,
            requests=current.requests + found.requests,
            violations=current.violations + len(found.violations),
        )
    if found is None or found.is_last:
        return attrs.evolve(pace, after="", current=None, last=current, last_ended_at=now)
    return attrs.evolve(pace, after=found.last_wallet_id, current=current)


def _name(chain_id: int) -> str:
    return f"reconcile:pace:{chain_id}"


def _text(pace: Pace) -> bytes:
    return json.dumps(attrs.asdict(pace), default=lambda moment: moment.isoformat()).encode()


def _pace(kept: bytes) -> Pace:
    fields = json.loads(kept)
    return Pace(
        after=fields["after"],
        current=_pass(fields["current"]),
        due_at=_moment(fields["due_at"]),
        last=_pass(fields["last"]),
        last_ended_at=_moment(fields["last_ended_at"]),
    )


def _pass(fields: Mapping[str, str | int | None] | None) -> Pass | None:
    if fields is None:
        return None
    return Pass(
        began_at=datetime.fromisoformat(str(fields["began_at"])),
        block_hash=str(fields["block_hash"]),
        wallets=int(fields["wallets"] or 0),
        requests=int(fields["requests"] or 0),
        violations=int(fields["violations"] or 0),
        token=str(token) if (token := fields.get("token")) else None,
    )


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
