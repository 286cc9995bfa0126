"""Whether this process can do its work: what `/readyz` says.

What is found is kept for a second, so that whoever asks often asks the database and the nodes no more often than that.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Final

import attrs

from custody_core import Custody, CustodyError
from custody_core.domain.resources import Resource, chain_text
from custody_core.services.chains import ChainStatus

LAG_BLOCKS_MAX: Final = 10
"""How many blocks the scanner may be behind before this is no place to send clients to."""

FRESH_S: Final = 1.0


@attrs.frozen
class Finding:
    """One thing that was looked at. `detail` is for whoever has to put it right."""

    name: str
    ok: bool
    detail: str


@attrs.frozen
class Report:
    """All that was looked at."""

    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        """Whether all of it is well."""
        return all(each.ok for each in self.findings)

    @property
    def resource(self) -> Resource:
        """As JSON."""
        return {"status": "ok" if self.ok else "unavailable", "checks": [attrs.asdict(each) for each in self.findings]}


class Readiness:
    """Looks at the database, its version, and at each chain's node, halt and scanner."""

    def __init__(self, custody: Custody, database_check: Callable[[], None]) -> None:
        self._custody = custody
        self._database_check = database_check
        self._last: tuple[float, Report] | None = None

    def look(self) -> Report:
        """What is so now, or was so a moment ago."""
        if self._last is None or self._last[0] <= time.monotonic():
            self._last = (time.monotonic() + FRESH_S, Report(tuple(self._findings())))
        return self._last[1]

    def _findings(self) -> Iterator[Finding]:
        try:
            self._database_check()
            statuses = self._custody.chains.list()
        except CustodyError as problem:
            yield Finding("database", False, problem.detail)
            return
        except Exception as problem:  # noqa: BLE001 - whatever it is, its type is all that may be shown
            yield Finding("database", False, f"it cannot be used ({type(problem).__name__})")
            return
        yield Finding("database", True, "answers, and is prepared for this version")
        followed = {status.state.chain_id for status in statuses}
        for chain_id in self._custody.chain_ids:
            if chain_id not in followed:
                yield Finding(f"scanner of {chain_text(chain_id)}", False, "it has not begun; start `custody scanner`")
        for status in statuses:
            yield from _of_chain(status)


def _of_chain(status: ChainStatus) -> Iterator[Finding]:
    state, lag = status.state, status.lag_blocks
    name = chain_text(state.chain_id)
    if state.halted_reason is not None:
        yield Finding(f"chain {name}", False, f"halted: {state.halted_reason}")
    else:
        yield Finding(f"chain {name}", True, "not halted")
    if lag is None:
        yield Finding(f"node of {name}", False, "does not answer")
        return
    if status.behind is not None:
        yield Finding(f"node of {name}", False, f"is behind its chain, so nothing is sent: {status.behind}")
    else:
        yield Finding(f"node of {name}", True, f"answers, head {status.head_number}")
    if not status.is_led:
        yield Finding(f"scanner of {name}", False, "nobody follows this chain; start `custody scanner`")
    elif lag > LAG_BLOCKS_MAX:
        yield Finding(f"scanner of {name}", False, f"{lag} blocks behind; see what `custody scanner` says")
    else:
        yield Finding(f"scanner of {name}", True, f"{lag} blocks behind")
