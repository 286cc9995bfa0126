"""The program: which commands there are, and what is said when one fails."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import click

from custody_app.cli.exits import ExitCode, exit_code_of
from custody_app.cli.output import say, show
from custody_app.loading import loading
from custody_core.errors import CustodyError

_COMMANDS: Mapping[str, str] = {
    "init": "make what the service needs: database, master key file, starter policy, first admin, wallets ahead",
    "scanner": "do the background work: follow the chains, send, credit, seal the audit trail",
    "serve": "answer HTTP requests, without any key",
    "wallet": "create, look at, freeze wallets",
    "tx": "send, and follow transactions of both directions",
    "token": "say which token contracts count",
    "policy": "show, check and publish what may be sent",
    "user": "see who there is, and say what each may do",
    "apikey": "make, list, revoke API keys",
    "chain": "see how far each chain is followed; resume a halted one",
    "scan": "see how far each chain is read and how fast; read blocks again",
    "reconcile": "check the books against themselves and against the chain",
    "suspense": "see what an address holds and nothing explains, and give it to its owner",
    "statement": "print what moved in a wallet's books, with opening and closing balances",
    "audit": "check the audit trail",
    "doctor": "see whether all is well, and what to do where it is not",
    "db": "prepare the database for this version, or check that it is",
    "demo": "show the main job on a local dev chain",
}
"""Name → what it does. Each is the `command` of the module of that name, which is loaded only when it is called."""


class _LazyGroup(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        if cmd_name not in _COMMANDS:
            return None
        with loading():
            command: click.Command = importlib.import_module(f"custody_app.cli.{cmd_name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's signature
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="custody-core", message="%(version)s")
def program() -> None:
    """A self-hosted custodial Ethereum wallet.

    Settings come from the environment (CUSTODY_…) or from the TOML file that CUSTODY_CONFIG names. Data goes to stdout,
    talk to stderr.

    Exit codes: 0 ok, 1 error, 2 usage, 3 denied by policy, 4 pending approval, 5 timed out, 6 verification failed.
    """


def run(arguments: Sequence[str]) -> int:
    """Runs one command line; its exit code. Whatever goes wrong is told in one sentence, never by a traceback."""
    as_json = "--json" in arguments
    try:
        outcome = program.main(args=list(arguments), prog_name="custody", standalone_mode=False)
    except click.UsageError as problem:
        problem.show()
        return _failed(ExitCode.USAGE, {"code": "usage", "detail": problem.format_message()}, as_json=as_json)
    except click.Abort:
        say("custody: stopped")
        return ExitCode.ERROR
    except CustodyError as problem:
        return _told(problem, as_json=as_json)
    except Exception as problem:  # noqa: BLE001 - its text may hold anything, so nobody is shown more than its type
        detail = f"internal error ({type(problem).__name__}); run `custody doctor`, and report it if all is well there"
        say(f"custody: {detail}")
        return _failed(ExitCode.ERROR, {"code": "internal", "detail": detail}, as_json=as_json)
    return outcome if isinstance(outcome, int) else ExitCode.OK


def _told(problem: CustodyError, *, as_json: bool) -> int:
    where = f", {problem.pointer}" if problem.pointer else ""
    say(f"custody: {problem.detail} ({problem.code}{where})")
    error = {"code": problem.code, "detail": problem.detail, "pointer": problem.pointer, **problem.extra}
    return _failed(exit_code_of(problem), error, as_json=as_json)


def _failed(code: ExitCode, error: Mapping[str, Any], *, as_json: bool) -> int:
    if as_json:
        show({"error": {"code": error["code"], "detail": error["detail"], "pointer": None, **error}}, as_json=True, text="")
    sys.stdout.flush()
    return code
