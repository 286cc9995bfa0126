"""What `custody doctor` says of the books: how often they are compared with the chain, and what nothing explains."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from custody_app.findings import Finding
from custody_core import Custody
from custody_core.domain.resources import chain_text
from custody_core.domain.tokens import TokenState

UNTOUCHED_MAX = timedelta(minutes=10)
"""How long after its time the next comparison may come before somebody should look."""

_SHOWN = 5


def examined(custody: Custody, now: datetime) -> Iterator[Finding]:
    """The comparison with each chain, and suspense."""
    followed = {state.chain_id for state in custody.chains.states()}
    for chain_id in custody.chain_ids:
        if chain_id in followed:
            yield _comparison(custody, chain_id, now)
    yield _suspense(custody)


def _comparison(custody: Custody, chain_id: int, now: datetime) -> Finding:
    name = f"books against {chain_text(chain_id)}"
    left_out = next((each for each in custody.scans.unfinished() if each.chain_id == chain_id), None)
    if left_out is not None:
        return Finding(
            name, False, f"waits for a rescan that has not come to block {left_out.first}; `custody scan status` shows the command"
        )
    pace, period = custody.pace(chain_id)
    if pace.current is not None and pace.due_at is not None and now - pace.due_at > UNTOUCHED_MAX:
        return Finding(name, False, f"not compared since {pace.due_at:%Y-%m-%d %H:%M} UTC; see that `custody scanner` runs")
    if pace.last is None or period is None:
        done = pace.current.wallets if pace.current else 0
        return Finding(name, True, f"the first comparison of all wallets is under way: {done} so far")
    often = f"each of {pace.last.wallets} wallets is compared about every {_text(period)}"
    listed = sum(token.state is TokenState.LISTED for token in custody.tokens.list(chain_id=chain_id))
    if listed > 1:
        often += f", in a token that it has none of about every {_text(listed * period)}"
    if pace.last.violations:
        found = f"{pace.last.violations} differ or could not be compared; `custody reconcile` says which"
        return Finding(name, False, f"{often}; {found}")
    return Finding(name, True, often)


def _suspense(custody: Custody) -> Finding:
    lines = custody.suspense.list(limit=_SHOWN + 1)
    if not lines:
        return Finding("suspense", True, "empty")
    shown = ", ".join(f"{line.amount} {line.asset.alias} of {line.wallet.id}" for line in lines[:_SHOWN])
    more = " and more" if len(lines) > _SHOWN else ""
    return Finding(
        "suspense", False, f"nothing explains {shown}{more}; `custody suspense list` shows it, docs/how-to/suspense.md helps"
    )


def _text(period: timedelta) -> str:
    seconds = int(period.total_seconds())
    if seconds < 120:
        return f"{seconds} s"
    return f"{seconds // 60} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
