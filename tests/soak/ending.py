"""The end of a long run: in peace, with every event told, and with books that equal the chain."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from custody_core import Custody
from custody_core.domain.audit import Event
from tests.soak.mayhem import Mayhem
from tests.soak.starting import Database
from tests.support.processes import Processes
from tests.support.program import Program
from tests.support.waiting import until

CALM_WITHIN_S = 60.0


class Deployed(Protocol):
    """What a run has to end."""

    @property
    def program(self) -> Program:
        """The service's, by way of honest nodes."""

    @property
    def processes(self) -> Processes:
        """All that ever ran."""

    @property
    def custody(self) -> Custody:
        """For reading."""

    @property
    def database(self) -> Database:
        """The rows themselves."""


def end(site: Deployed, mayhem: Mayhem) -> None:
    """Lets the workers finish in peace, and ends them."""
    mayhem.require_well()
    until(site.database.is_sealed, what="every event is numbered", timeout_s=CALM_WITHIN_S)
    assert mayhem.stop_workers() == [0, 0]
    assert mayhem.unexpected_ends == 0, "a worker ended that nobody had killed"
    broken = [event for process in site.processes.all for event in process.events() if event["event"] == "internal"]
    assert broken == []


def require_sound(site: Deployed) -> None:
    """The ledger equals the chain, and the audit trail its own seals."""
    reconciliation = site.program.json("reconcile")
    assert reconciliation["ok"] is True, reconciliation
    assert site.program.json("suspense", "list") == {"data": []}
    verdict = site.custody.audit.verify()
    assert verdict.first_broken is None, verdict


def every_event(custody: Custody) -> Iterator[Event]:
    """In order."""
    after = 0
    while page := custody.events.list(after_sequence=after, limit=1000):
        yield from page
        after = page[-1].sequence or 0
