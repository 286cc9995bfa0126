"""The demo: the main job in front of you, on a local dev chain, by the same commands that you would type.

Everything lies in one folder that is made anew each time, with a settings file that every command reads. What is shown is read
from the service and compared with what must have happened; the demo fails when anything is not as it should be.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import attrs

from custody_app.bootstrap import open_service
from custody_app.children import Children
from custody_app.cli.resources import heads_of
from custody_app.config import load_settings
from custody_app.demo_folder import fresh_folder, write_settings
from custody_app.devchain import BLOCK_TIME_S, CONFIRMATIONS_UNTIL_FINAL, DevChain, dev_chain
from custody_app.observers import QuietObserver
from custody_app.story import Story
from custody_core import Custody, CustodyError, ether, format_units, parse_address
from custody_core.services.resources import movement_resource

FOLDER = Path(".custody-demo")

DEPOSIT_WEI = ether("2")
TO_BOB_WEI = ether("0.5")
TO_OUTSIDE_WEI = ether("0.25")

OUTSIDE_ADDRESS = "0x00000000000000000000000000000000DeaDBeef"
"""Somebody's address who has nothing to do with the service. Made up: nobody has its key."""

_STEP_WITHIN_S = 60.0
_LOOK_EVERY_S = 0.1


class DemoFailed(CustodyError):
    """Something did not happen as it should have."""

    code = "demo-failed"


@attrs.frozen
class _Party:
    """An owner with a wallet."""

    name: str
    wallet_id: str
    address: str


def run_demo(*, once: bool) -> None:
    """Runs the job; then, unless `once`, keeps serving until Ctrl-C. Raises `CustodyError` when anything is not as it should be."""
    story = Story()
    with ExitStack() as cleanup:
        children = cleanup.enter_context(Children())
        folder = cleanup.enter_context(fresh_folder(FOLDER))
        chain = cleanup.enter_context(dev_chain(children, log=folder / "anvil.log"))
        story.title("custody demo: everything runs on this machine, no real money moves")
        story.done(f"a dev chain: anvil, {chain.rpc_url}, a block every {BLOCK_TIME_S} s")
        demo = _Demo(story, children, folder, chain)
        demo.prepare()
        scanner = cleanup.enter_context(demo.scanner())
        demo.run_job(cleanup)
        if not once:
            demo.keep_serving(scanner)
        story.heading("stopping the scanner and the dev chain")


class _Demo:
    """The job, step by step."""

    def __init__(self, story: Story, children: Children, folder: Path, chain: DevChain) -> None:
        self._story = story
        self._children = children
        self._folder = folder
        self._chain = chain
        self._environment = {name: text for name, text in os.environ.items() if not name.startswith("CUSTODY_")}
        self._environment["CUSTODY_CONFIG"] = str(write_settings(folder, chain))

    def prepare(self) -> None:
        """`custody init`."""
        self._story.heading("The service makes what it needs")
        made = self._command("init")
        self._story.done("database, and a master key file that only this user can read")
        self._story.done(f"starter policy; {made['wallets_ready']['count']} wallets made ahead, their keys sealed")

    @contextmanager
    def scanner(self) -> Iterator[subprocess.Popen[Any]]:
        """`custody scanner`, in the background."""
        self._story.command("scanner", "&")
        command, environment = _program("scanner"), self._environment
        with (
            (self._folder / "scanner.log").open("wb") as log,
            self._children.running(command, env=environment, stdout=log, stderr=log) as process,
        ):
            yield process

    def run_job(self, cleanup: ExitStack) -> None:
        """Two wallets, a deposit, two sends, and the proof."""
        settings = load_settings(self._environment)
        # Looking on needs neither keys nor a node.
        opened = cleanup.enter_context(open_service(settings, observer=QuietObserver(), with_keys=False, with_nodes=False))
        custody = opened.custody
        alice, bob = self._create_wallets()
        self._deposit(custody, alice)
        fees_wei = self._send(custody, alice, bob)
        self._compare(custody, alice, bob, fees_wei)
        self._reconcile()
        self._tell(alice, bob, fees_wei)

    def keep_serving(self, scanner: subprocess.Popen[Any]) -> None:
        """Waits for Ctrl-C."""
        program = _program_as_typed()
        self._story.heading("The chain and the scanner keep running. In another terminal, from this folder, try:")
        self._story.line(f"export CUSTODY_CONFIG={self._folder / 'custody.toml'}")
        self._story.line(f"{program} wallet list")
        self._story.line(f"{program} tx list")
        self._story.line(f"{program} doctor")
        self._story.line("")
        self._story.line("Ctrl-C ends it.")
        try:
            while scanner.poll() is None:
                time.sleep(0.5)
        except KeyboardInterrupt:
            return
        raise DemoFailed(f"the scanner ended by itself; {self._folder / 'scanner.log'} tells why")

    def _create_wallets(self) -> tuple[_Party, _Party]:
        self._story.heading("Two people get a wallet each")
        parties = []
        for name in ("alice", "bob"):
            wallet = self._command("wallet", "create", "--owner", name, "--idempotency-key", f"demo-{name}")
            parties.append(_Party(name, wallet["id"], wallet["address"]))
            self._story.done(f"{name.ljust(5)}  {wallet['address']}")
        return parties[0], parties[1]

    def _deposit(self, custody: Custody, alice: _Party) -> None:
        self._story.heading(f"Somebody outside sends alice {_eth(DEPOSIT_WEI)}")
        hash_ = self._chain.send_from_outside(alice.address, DEPOSIT_WEI)
        self._story.done(f"sent by {parse_address(self._chain.outsider())}, which is not ours")
        self._follow(custody, alice, {hash_: "deposit"}, expected="completed", counts_before="credited")
        available = _available(custody, alice)
        self._require(available == DEPOSIT_WEI, f"alice should have {_eth(DEPOSIT_WEI)}, the books say {_eth(available)}")
        self._story.done(f"credited once, and spendable: alice has {_eth(available)}")

    def _send(self, custody: Custody, alice: _Party, bob: _Party) -> int:
        self._story.heading(f"alice sends {_eth(TO_BOB_WEI)} to bob and {_eth(TO_OUTSIDE_WEI)} to an address outside")
        sends: dict[str, str] = {}
        for name, to, amount_wei in (("bob", bob.address, TO_BOB_WEI), ("outside", OUTSIDE_ADDRESS, TO_OUTSIDE_WEI)):
            amount = f"{format_units(amount_wei, 18)}eth"
            options = ("--to", to, "--amount", amount, "--idempotency-key", f"demo-to-{name}")
            sends[self._command("tx", "send", alice.wallet_id, *options)["id"]] = f"to {name}"
        found = self._follow(custody, alice, sends, expected="completed", counts_before="final")
        return sum(int(each["fee"]["amount"]) for each in found)

    def _compare(self, custody: Custody, alice: _Party, bob: _Party, fees_wei: int) -> None:
        """Balances as they must be, to the wei."""
        self._story.heading("What everybody has now")
        left_wei = DEPOSIT_WEI - TO_BOB_WEI - TO_OUTSIDE_WEI - fees_wei
        # The block that made the sends final made bob's deposit final too.
        self._wait(lambda: _available(custody, bob) == TO_BOB_WEI or None, "bob's deposit is credited")
        for party, expected in ((alice, left_wei), (bob, TO_BOB_WEI)):
            available = _available(custody, party)
            self._require(available == expected, f"{party.name} should have {_eth(expected)}, the books say {_eth(available)}")
            self._story.done(f"{party.name.ljust(8)} {_eth(available)}")
        outside_wei = self._chain.balance(OUTSIDE_ADDRESS)
        self._require(outside_wei == TO_OUTSIDE_WEI, f"the address outside should have {_eth(TO_OUTSIDE_WEI)}")
        self._story.done(f"outside  {_eth(outside_wei)}")
        self._story.done(f"fees     {_eth(fees_wei)}")

    def _reconcile(self) -> None:
        self._story.heading("Do the books agree with the chain?")
        self._story.command("reconcile")
        done = self._run("reconcile")
        for line in done.stdout.splitlines():
            self._story.line(line)
        self._require(done.returncode == 0, "the books do not agree with the chain")

    def _tell(self, alice: _Party, bob: _Party, fees_wei: int) -> None:
        connection = {"rpc_url": self._chain.rpc_url, "database_url": f"sqlite:///{self._folder.absolute() / 'custody.db'}"}
        file = self._folder / "connection.json"
        file.write_text(json.dumps(connection, indent=2) + "\n", "utf-8")
        self._story.heading("What happened")
        self._story.line(
            f"{_eth(DEPOSIT_WEI)} came in for {alice.name}: seen in its block, credited once, when the block was final."
        )
        self._story.line(
            f"{_eth(TO_BOB_WEI)} went to {bob.name} and {_eth(TO_OUTSIDE_WEI)} outside: signed here, sent, followed until final."
        )
        self._story.line(f"It cost {_eth(fees_wei)} in fees. Every wei is in the books, and the books agree with the chain.")
        self._story.line(f"How to connect is in {file}.")

    def _follow(
        self, custody: Custody, party: _Party, wanted: dict[str, str], *, expected: str, counts_before: str
    ) -> Sequence[Any]:
        """Shows the states that transactions go through, until all of them have the one expected. `wanted`: id or hash → name."""
        states: dict[str, str] = {}
        width = max(len(name) for name in wanted.values())

        def look() -> list[Any] | None:
            found = [each for each in _movements(custody, party) if each["id"] in wanted or each["hash"] in wanted]
            for each in found:
                name = wanted.get(each["id"]) or wanted[each["hash"]]
                if states.get(name) != each["state"]:
                    states[name] = each["state"]
                    self._story.done(f"{name.ljust(width)}  {each['state']}{_in_block(each)}")
            confirmations = min((each["confirmations"] for each in found), default=0)
            self._story.progress(confirmations, CONFIRMATIONS_UNTIL_FINAL, f"confirmations until {counts_before}")
            complete = len(found) == len(wanted) and all(each["state"] == expected for each in found)
            return found if complete else None

        followed: Sequence[Any] = self._wait(look, f"{', '.join(wanted.values())} {expected}")
        return followed

    def _wait(self, look: Callable[[], Any], what: str) -> Any:
        deadline = time.monotonic() + _STEP_WITHIN_S
        try:
            while (answer := look()) is None:
                self._require(time.monotonic() < deadline, f"not within {_STEP_WITHIN_S:g} s: {what}")
                time.sleep(_LOOK_EVERY_S)
            return answer
        finally:
            self._story.clear()

    def _command(self, *arguments: str) -> Any:
        """Runs one command for its JSON, and shows it as one would type it."""
        self._story.command(*arguments)
        done = self._run(*arguments, "--json")
        if done.returncode != 0:
            said = done.stderr.strip().splitlines() or ["it says nothing"]
            raise DemoFailed(f"`custody {arguments[0]}` ended with exit code {done.returncode}: {said[-1]}")
        return json.loads(done.stdout)

    def _run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "encoding": "utf-8"}
        with self._children.running(_program(*arguments), env=self._environment, **pipes) as process:
            try:
                out, err = process.communicate(timeout=_STEP_WITHIN_S)
            except subprocess.TimeoutExpired:
                raise DemoFailed(f"`custody {arguments[0]}` does not end within {_STEP_WITHIN_S:g} s") from None
        return subprocess.CompletedProcess(arguments, process.returncode, out, err)

    def _require(self, holds: bool, otherwise: str) -> None:
        if not holds:
            raise DemoFailed(f"{otherwise}; the logs are in {self._folder}")


def _program(*arguments: str) -> list[str]:
    # -P: what lies in the folder that we are in is not imported.
    return [sys.executable, "-P", "-m", "custody_app.cli", *arguments]


def _program_as_typed() -> str:
    """How this program is called from here."""
    if shutil.which("custody"):
        return "custody"
    program = Path(sys.argv[0]).absolute()
    here = Path.cwd()
    return str(program.relative_to(here) if program.is_relative_to(here) else program)


def _movements(custody: Custody, party: _Party) -> list[Any]:
    heads = heads_of(custody)
    return [movement_resource(each, heads) for each in custody.transactions.list(wallet_id=party.wallet_id)]


def _available(custody: Custody, party: _Party) -> int:
    return sum(balance.available for balance in custody.wallets.balances(party.wallet_id))


def _in_block(movement: Any) -> str:
    block = movement["block"]
    return f", in block {block['number']}" if block and movement["state"] == "confirming" else ""


def _eth(wei: int) -> str:
    return f"{format_units(wei, 18)} ether"
