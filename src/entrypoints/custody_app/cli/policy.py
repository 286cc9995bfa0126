"""`custody policy`: what may be sent."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from typing import IO, NoReturn

import click

from custody_app.cli.opening import books
from custody_app.cli.output import json_option, mark, show
from custody_core import Policy, ValidationFailed
from custody_core.domain.policy import Layer, parse_document
from custody_core.services.resources import policy_resource

DOCUMENT_BYTES_MAX = 1_000_000


@click.group("policy")
def command() -> None:
    """Show, check and publish what may be sent. A document is JSON or TOML; what no rule allows is denied."""


@command.command("show")
@json_option
def show_(as_json: bool) -> None:
    """Show the documents in force."""
    with books() as custody:
        policies = custody.policies.active()
    text = (
        "\n\n".join(_text(each) for each in policies) or "no policy is in force: everything is denied; `custody init` publishes one"
    )
    show({"data": [policy_resource(each) for each in policies]}, as_json=as_json, text=text)


@command.command("validate")
@click.argument("file", type=click.File("rb"))
@json_option
def validate(file: IO[bytes], as_json: bool) -> None:
    """Check a document without publishing it. FILE may be - for stdin."""
    rules = parse_document(_read(file))
    names = [rule.id for rule in rules]
    show({"ok": True, "rules": names}, as_json=as_json, text=f"{mark(True)} a policy of {len(names)} rules: {', '.join(names)}")


@command.command("publish")
@click.argument("file", type=click.File("rb"))
@click.option(
    "--layer", type=click.Choice([str(layer) for layer in Layer]), default="global", show_default=True, help="whom it binds"
)
@click.option("--subject", metavar="ID", help="the owner (usr_…) or wallet (wal_…) of the other layers")
@json_option
def publish(file: IO[bytes], layer: str, subject: str | None, as_json: bool) -> None:
    """Put a document in force, in place of the one before. FILE may be - for stdin."""
    document = _read(file)
    with books() as custody:
        policy = custody.policies.publish(document, layer=layer, subject=subject)
    show(policy_resource(policy), as_json=as_json, text=_text(policy))


def _read(file: IO[bytes]) -> Mapping[str, object]:
    """The document, as it stands in the file. A name that stands there twice is refused: nobody knows which is meant."""
    content = file.read(DOCUMENT_BYTES_MAX + 1)
    if len(content) > DOCUMENT_BYTES_MAX:
        raise ValidationFailed("a policy has at most 1 MB")
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        raise ValidationFailed("the file is not UTF-8 text") from None
    document = _parse_json(text) if text.lstrip().startswith("{") else _parse_toml(text)
    if not isinstance(document, dict):
        raise ValidationFailed("a policy is an object with version and rules")
    return document


def _parse_json(text: str) -> object:
    try:
        return json.loads(text, object_pairs_hook=_unique, parse_constant=_refuse_constant)
    except json.JSONDecodeError as problem:
        raise ValidationFailed(f"the file is not JSON: see line {problem.lineno}, column {problem.colno}") from None
    except RecursionError:
        raise ValidationFailed("the file is nested too deeply") from None


def _parse_toml(text: str) -> object:
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError):
        raise ValidationFailed("the file is neither JSON nor TOML") from None


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    document = dict(pairs)
    if len(document) != len(pairs):
        raise ValidationFailed("a name stands twice in one object of the file")
    return document


def _refuse_constant(_name: str) -> NoReturn:
    raise ValidationFailed("the file holds NaN or Infinity, which JSON does not know")


def _text(policy: Policy) -> str:
    whom = f"{policy.layer} {policy.subject}" if policy.subject else f"{policy.layer}"
    return f"{policy.id} ({whom})\n{json.dumps(dict(policy.document), indent=2)}"
