"""`custody scanner`: the background work, until it is told to stop, or once."""

from __future__ import annotations

import os
import sys
import time

import click

from custody_app.cli.exits import ExitCode
from custody_app.cli.opening import everything
from custody_app.cli.output import LiveLine, bar, is_terminal, json_option, say, show
from custody_app.observers import LogObserver
from custody_app.scanner import Scanner
from custody_core import ChainHalted, Custody, NodeUnavailable
from custody_core.domain.resources import chain_text
from custody_core.ports import Observer
from custody_core.services.following import Round
from custody_core.services.resources import chain_resource

PATIENCE_ROUNDS = 10
"""How often `--once` asks a node again that does not show all of a block."""

_PAUSE_S = 0.2


@click.command("scanner")
@click.option("--once", is_flag=True, help="do rounds until there is nothing left to do now, and end")
@json_option
def command(once: bool, as_json: bool) -> None:
    """Do the background work: make wallets ahead, follow the chains, credit, sign and send, seal the audit trail.

    Writes one JSON line on stderr for each thing worth reading. Ends by itself on SIGTERM or Ctrl-C, when what runs has finished,
    within ten seconds.
    """
    if once:
        _once(as_json=as_json)
    else:
        _until_told()


def _until_told() -> None:
    log = LogObserver()
    with everything(log) as opened:
        scanner = Scanner(opened.custody, observer=log, scan_interval_s=opened.settings.scan_interval_s)
        chains = ", ".join(chain_text(each) for each in opened.custody.chain_ids)
        is_done = scanner.run_until_signal(started=lambda: log.info("scanner-started", chains=chains))
    log.info("scanner-stopped")
    if not is_done:
        os._exit(ExitCode.OK)  # at its ordinary end Python would wait for the job that does not end


def _once(*, as_json: bool) -> None:
    observer = _BarObserver() if is_terminal(sys.stderr) else LogObserver()
    with everything(observer) as opened:
        try:
            rounds_until_idle(opened.custody)
        finally:
            if isinstance(observer, _BarObserver):
                observer.line.clear()
        chains = [chain_resource(status) for status in opened.custody.chains.list()]
    lines = [f"{each['id']}: followed to block {each['followed']['number']}, final to {each['final']['number']}" for each in chains]
    show({"data": chains}, as_json=as_json, text="\n".join(lines))


def rounds_until_idle(custody: Custody) -> None:
    """Rounds of the background work until one finds nothing to do. Raises `ChainHalted`, `NodeUnavailable`."""
    waited = 0
    while waited < PATIENCE_ROUNDS:
        tick = custody.tick()
        outcomes = set(tick.followed.values())
        if Round.HALTED in outcomes:
            raise ChainHalted("a chain is halted, and nothing on it is credited or sent; see `custody chain status`")
        if Round.WAITING in outcomes:
            waited += 1
            time.sleep(_PAUSE_S)
            continue
        if not (tick.advanced or tick.wallets_made or tick.sealed):
            if Round.NOT_LEADING in outcomes:
                say("another scanner follows the chain; what is there to do, it does")
            return
    raise NodeUnavailable("the node does not show all that there is to read; see `custody doctor`, and run this again")


class _BarObserver(Observer):
    """Progress as a bar on a terminal, trouble as a line above it."""

    def __init__(self) -> None:
        self.line = LiveLine(sys.stderr)
        self._began_at: dict[str, int] = {}

    def progress(self, what: str, *, done: int, total: int) -> None:
        first = self._began_at.setdefault(what, done)
        self.line.update(f"{what}  {bar(done - first, total - first, sys.stderr)} blocks")

    def trouble(self, what: str, detail: str) -> None:
        self.line.clear()
        say(f"{what}: {detail}")
