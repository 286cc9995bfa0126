"""Writes docs/reference/command-line.md from the commands themselves. `make docs` runs it; a test compares the two."""

import inspect
from collections.abc import Iterator
from pathlib import Path

import click

from custody_app.cli.exits import ExitCode, exit_code_of
from custody_app.cli.program import program
from custody_core import errors
from custody_core.errors import CustodyError

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "command-line.md"

USED_BY_ALL = frozenset({"--help", "--json"})
"""Options that the introduction tells of."""

INTRODUCTION = """\
# Command line

<!-- Written by tools/docs/commands.py from the commands themselves. Change those and run `make docs`. -->

`custody <noun> <verb>`. Settings come from the environment or from a file: [settings](settings.md).

* Data goes to standard output, talk to standard error. Every command that answers takes `--json` and then prints the public form of
  what it shows: amounts as strings of base units, times in UTC. A failure then prints an `error` with its `code`, `detail` and
  `pointer`.
* Only `init`, `scanner` and `demo` use key material, and `doctor` looks whether the key file is sound. The others record what is
  wanted; the scanner does it.
* Secrets never stand on the command line, where others on the machine could read them.
* `--help` after any of them tells the same as this page.
"""

EXIT_MEANINGS = {
    ExitCode.OK: "done",
    ExitCode.ERROR: "it could not be done, or ended other than was wanted; the message says why",
    ExitCode.USAGE: "what was typed cannot be understood",
    ExitCode.POLICY_DENIED: "the policy said no; the refusal is kept",
    ExitCode.PENDING_APPROVAL: "people have to agree first (no policy asks for it yet)",
    ExitCode.TIMED_OUT: "what was waited for did not come in time; it goes on",
    ExitCode.VERIFICATION_FAILED: "a check of the books or of the audit trail failed",
}


def page() -> str:
    """The whole page."""
    commands = [_section(path, command) for path, command in _leaves("custody", program)]
    return "\n".join([INTRODUCTION, _exits(), "## Commands\n", *commands]).rstrip("\n") + "\n"


def _exits() -> str:
    codes: dict[ExitCode, list[str]] = {code: [] for code in ExitCode}
    for error in vars(errors).values():
        if isinstance(error, type) and issubclass(error, CustodyError):
            codes[exit_code_of(error(""))].append(f"`{error.code}`")
    codes[ExitCode.ERROR] = ["all others"]
    rows = [f"| {code.value} | {meaning} | {', '.join(sorted(codes[code])) or 'none'} |" for code, meaning in EXIT_MEANINGS.items()]
    head = ["## Exit codes\n", "| Code | Meaning | [Errors](errors.md) |", "| --- | --- | --- |"]
    return "\n".join([*head, *rows, ""])


def _leaves(path: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    """Every command that does something, with its name in full, in the order in which help lists them."""
    if not isinstance(command, click.Group):
        yield path, command
        return
    context = click.Context(command)
    for name in command.list_commands(context):
        below = command.get_command(context, name)
        if below is not None:
            yield from _leaves(f"{path} {name}", below)


def _section(path: str, command: click.Command) -> str:
    context = click.Context(command, info_name=path)
    arguments = [each.make_metavar(context) for each in command.params if isinstance(each, click.Argument)]
    required = [_usage(each, context) for each in command.params if isinstance(each, click.Option) and each.required]
    usage = " ".join([path, *arguments, *required])
    parts = [f"### {path}\n", f"`{usage}`\n", inspect.cleandoc(command.help or "") + "\n"]
    records = [record for each in command.params if (record := _option(each, context))]
    if records:
        parts += ["| Option | Meaning |", "| --- | --- |", *records, ""]
    return "\n".join(parts)


def _usage(option: click.Option, context: click.Context) -> str:
    return f"{option.opts[-1]} {option.make_metavar(context)}"


def _option(parameter: click.Parameter, context: click.Context) -> str | None:
    record = parameter.get_help_record(context) if isinstance(parameter, click.Option) else None
    if record is None or USED_BY_ALL & set(parameter.opts):
        return None
    written, meaning = (text.replace("|", "\\|") for text in record)
    return f"| `{written}` | {meaning} |"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(f"wrote docs/reference/{PAGE.name}")
