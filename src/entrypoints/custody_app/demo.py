"""The demo: the main job in front of you, on a local dev chain, by the same commands and requests that you would type.

Everything lies in one folder that is made anew each time, with a settings file that every command reads. What is shown is read
from the service over HTTP and compared with what must have happened; the demo fails when anything is not as it should be.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import attrs

from custody_app.children import Children
from custody_app.demo_client import Client
from custody_app.demo_folder import database_url, fresh_folder, write_connection, write_settings
from custody_app.demo_programs import STEP_WITHIN_S, Background, DemoFailed, Programs, listening_at, program_as_typed
from custody_app.devchain import BLOCK_TIME_S, CONFIRMATIONS_UNTIL_FINAL, DevChain, dev_chain
from custody_app.story import Story
from custody_core import ether, format_units, parse_address

FOLDER = Path(".custody-demo")

DEPOSIT_WEI = ether("2")
TO_BOB_WEI = ether("0.5")
TO_OUTSIDE_WEI = ether("0.25")
YOUR_TURN_WEI = ether("0.01")

OUTSIDE_ADDRESS = "0x00000000000000000000000000000000DeaDBeef"
"""Somebody's address who has nothing to do with the service. Made up: nobody has its key."""

_LOOK_EVERY_S = 0.1


@attrs.frozen
class _Party:
    """Somebody with a wallet."""

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
        environment = {name: text for name, text in os.environ.items() if not name.startswith("CUSTODY_")}
        environment["CUSTODY_CONFIG"] = str(write_settings(folder, chain))
        programs = Programs(story, children, folder, environment)
        api_key = _prepare(story, programs)
        running = [cleanup.enter_context(programs.background(*words)) for words in (("scanner",), ("serve", "--port", "0"))]
        client = Client(story, listening_at(running[-1]), api_key)
        cleanup.callback(client.close)
        demo = _Demo(story, programs, chain, client)
        alice = demo.run_job()
        connection = {"url": client.url, "api_key": api_key, "rpc_url": chain.rpc_url, "database_url": database_url(folder)}
        _tell_how_to_connect(story, connection, write_connection(folder, connection))
        if not once:
            _keep_serving(story, connection, running, alice)
        story.heading("stopping the web facade, the scanner and the dev chain")


def _prepare(story: Story, programs: Programs) -> str:
    """`custody init`; the first admin's API key."""
    story.heading("The service makes what it needs")
    made = programs.answer("init")
    story.done("database, and a master key file that only this user can read")
    story.done(f"starter policy; {made['wallets_ready']['count']} wallets made ahead, their keys sealed")
    story.done("an admin, and an API key for them")
    api_key: str = made["api_key"]
    return api_key


def _tell_how_to_connect(story: Story, connection: dict[str, str], file: Path) -> None:
    story.heading("How to connect")
    story.line(f"API      {connection['url']}/v1, described in {connection['url']}/v1/openapi.json")
    story.line(f"API key  {connection['api_key']}")
    story.line(f"Both are in {file}, with the node's URL and the database's.")


def _keep_serving(story: Story, connection: dict[str, str], running: Sequence[Background], alice: _Party) -> None:
    """Waits for Ctrl-C. Raises `DemoFailed` when what is served ends before."""
    program = program_as_typed()
    body = f'{{"wallet_id":"{alice.wallet_id}","to":"{OUTSIDE_ADDRESS}","amount":"{YOUR_TURN_WEI}"}}'
    story.heading("It keeps running. In another terminal, from this folder, try:")
    story.line(f"export URL={connection['url']} KEY={connection['api_key']}")
    story.line('curl -sS "$URL/v1/wallets" -H "Authorization: Bearer $KEY"')
    story.line(
        'curl -sS "$URL/v1/transactions" -H "Authorization: Bearer $KEY" -H "Idempotency-Key: my-first" '
        f"-H 'Content-Type: application/json' -d '{body}'"
    )
    story.line('curl -sS "$URL/v1/transactions?limit=1" -H "Authorization: Bearer $KEY"')
    story.line("")
    story.line("Or on the command line:")
    story.line(f"export CUSTODY_CONFIG={FOLDER / 'custody.toml'}")
    story.line(f"{program} tx list")
    story.line(f"{program} doctor")
    story.line("")
    story.line("Ctrl-C ends it.")
    try:
        while True:
            for each in running:
                each.require_running()
            time.sleep(0.5)
    except KeyboardInterrupt:
        return


class _Demo:
    """The job, step by step."""

    def __init__(self, story: Story, programs: Programs, chain: DevChain, client: Client) -> None:
        self._story = story
        self._programs = programs
        self._chain = chain
        self._client = client

    def run_job(self) -> _Party:
        """Two wallets, a deposit, two sends, and the proof. Gives whose wallet still has most of it."""
        self._wait(lambda: self._client.is_ready() or None, "the web facade is ready")
        self._story.done(f"ready at {self._client.url}: the scanner follows the chain, the web facade holds no keys")
        alice, bob = self._create_wallets()
        self._deposit(alice)
        fees_wei = self._send(alice, bob)
        self._compare(alice, bob, fees_wei)
        self._reconcile()
        self._tell(alice, bob, fees_wei)
        return alice

    def _create_wallets(self) -> tuple[_Party, _Party]:
        self._story.heading("Two wallets, asked for over HTTP")
        parties = []
        for name in ("alice", "bob"):
            wallet = self._client.post("/wallets", {"label": name}, idempotency_key=f"demo-{name}")
            parties.append(_Party(name, wallet["id"], wallet["address"]))
            self._story.done(f"{name.ljust(5)}  {wallet['address']}")
        return parties[0], parties[1]

    def _deposit(self, alice: _Party) -> None:
        self._story.heading(f"Somebody outside sends alice {_eth(DEPOSIT_WEI)}")
        hash_ = self._chain.send_from_outside(alice.address, DEPOSIT_WEI)
        self._story.done(f"sent by {parse_address(self._chain.outsider())}, which is not ours")
        self._follow(alice, {hash_: "deposit"}, expected="completed", counts_before="credited")
        available = self._available(alice)
        self._require(available == DEPOSIT_WEI, f"alice should have {_eth(DEPOSIT_WEI)}, the books say {_eth(available)}")
        self._story.done(f"credited once, and spendable: alice has {_eth(available)}")

    def _send(self, alice: _Party, bob: _Party) -> int:
        self._story.heading(f"alice sends {_eth(TO_BOB_WEI)} to bob and {_eth(TO_OUTSIDE_WEI)} to an address outside")
        sends: dict[str, str] = {}
        for name, to, amount_wei in (("bob", bob.address, TO_BOB_WEI), ("outside", OUTSIDE_ADDRESS, TO_OUTSIDE_WEI)):
            body = {"wallet_id": alice.wallet_id, "to": to, "asset": "eth", "amount": str(amount_wei)}
            sends[self._client.post("/transactions", body, idempotency_key=f"demo-to-{name}")["id"]] = f"to {name}"
        found = self._follow(alice, sends, expected="completed", counts_before="final")
        return sum(int(each["fee"]["amount"]) for each in found)

    def _compare(self, alice: _Party, bob: _Party, fees_wei: int) -> None:
        """Balances as they must be, to the wei."""
        self._story.heading("What everybody has now")
        left_wei = DEPOSIT_WEI - TO_BOB_WEI - TO_OUTSIDE_WEI - fees_wei
        # The block that made the sends final made bob's deposit final too.
        self._wait(lambda: self._available(bob) == TO_BOB_WEI or None, "bob's deposit is credited")
        for party, expected in ((alice, left_wei), (bob, TO_BOB_WEI)):
            available = self._available(party)
            self._require(available == expected, f"{party.name} should have {_eth(expected)}, the books say {_eth(available)}")
            self._story.done(f"{party.name.ljust(8)} {_eth(available)}")
        outside_wei = self._chain.balance(OUTSIDE_ADDRESS)
        self._require(outside_wei == TO_OUTSIDE_WEI, f"the address outside should have {_eth(TO_OUTSIDE_WEI)}")
        self._story.done(f"outside  {_eth(outside_wei)}")
        self._story.done(f"fees     {_eth(fees_wei)}")

    def _reconcile(self) -> None:
        self._story.heading("Do the books agree with the chain?")
        self._story.command("reconcile")
        done = self._programs.run("reconcile")
        for line in (done.stdout if done.returncode == 0 else done.stdout + done.stderr).splitlines():
            self._story.line(line)
        self._require(done.returncode == 0, "the books do not agree with the chain")

    def _tell(self, alice: _Party, bob: _Party, fees_wei: int) -> None:
        self._story.heading("What happened")
        self._story.line(
            f"{_eth(DEPOSIT_WEI)} came in for {alice.name}: seen in its block, credited once, when the block was final."
        )
        self._story.line(
            f"{_eth(TO_BOB_WEI)} went to {bob.name} and {_eth(TO_OUTSIDE_WEI)} outside: signed here, sent, followed until final."
        )
        self._story.line(f"It cost {_eth(fees_wei)} in fees. Every wei is in the books, and the books agree with the chain.")

    def _follow(self, party: _Party, wanted: dict[str, str], *, expected: str, counts_before: str) -> Sequence[Any]:
        """Shows the states that transactions go through, until all of them have the one expected. `wanted`: id or hash → name."""
        states: dict[str, str] = {}
        width = max(len(name) for name in wanted.values())

        def look() -> list[Any] | None:
            listed = self._client.get("/transactions", wallet_id=party.wallet_id)["data"]
            found = [each for each in listed if each["id"] in wanted or each["hash"] in wanted]
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

    def _available(self, party: _Party) -> int:
        balances = self._client.get(f"/wallets/{party.wallet_id}/balances", live="false")["data"]
        return sum(int(balance["available"]) for balance in balances)

    def _wait(self, look: Callable[[], Any], what: str) -> Any:
        deadline = time.monotonic() + STEP_WITHIN_S
        try:
            while (answer := look()) is None:
                self._require(time.monotonic() < deadline, f"not within {STEP_WITHIN_S:g} s: {what}")
                time.sleep(_LOOK_EVERY_S)
            return answer
        finally:
            self._story.clear()

    def _require(self, holds: bool, otherwise: str) -> None:
        if not holds:
            raise DemoFailed(f"{otherwise}; the logs are in {self._programs.folder}")


def _in_block(movement: Any) -> str:
    block = movement["block"]
    return f", in block {block['number']}" if block and movement["state"] == "confirming" else ""


def _eth(wei: int) -> str:
    return f"{format_units(wei, 18)} ether"
