"""An operator who has blocks read again: until it is done, or until it is refused for what is expected."""

from __future__ import annotations

from custody_core import Custody, CustodyError
from custody_core.errors import Conflict
from tests.unit.simulation.failures import require
from tests.unit.simulation.operators import in_turn
from tests.unit.simulation.rehearsal import Rehearsal


def read_again(on: Rehearsal, first: int, last: int | None = None) -> None:
    """Asked again while somebody who died in the middle of it still has the lease."""
    on.ask(in_turn(lambda custody: custody.scans.rescan(first, last)))


def is_refused(on: Rehearsal, reason: type[CustodyError], words: str, first: int, last: int | None = None) -> None:
    """It is, for that reason, and what the books say of money stays. Whoever died in the middle of it has the lease for a while."""
    before = dict(on.store.tables.balances.rows)

    def ask(custody: Custody) -> str:
        try:
            custody.scans.rescan(first, last)
        except CustodyError as problem:
            if isinstance(problem, reason) and words in str(problem):
                return ""
            if "already" in str(problem):
                raise Conflict("the operator tries again later") from None
            raise
        return f"blocks from {first} on were read again"

    require((told := on.ask(ask)) == "", "refusals", told)
    require(before == on.store.tables.balances.rows, "refusals", "a rescan that was refused has changed what is booked")
