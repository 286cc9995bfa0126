"""How a command gets at the service: with no more than it needs."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from custody_app.bootstrap import Opened, open_service
from custody_app.config import Settings, load_settings, require_chains
from custody_app.observers import QuietObserver
from custody_core import Custody, ValidationFailed
from custody_core.ports import Observer

_CHAIN = re.compile(r"(?:eip155:)?([1-9][0-9]{0,18})", re.ASCII)


def settings_now() -> Settings:
    """The settings of this process's environment."""
    return load_settings(os.environ)


@contextmanager
def books() -> Iterator[Custody]:
    """The service for looking things up: no key material, and no node has to answer."""
    with open_service(settings_now(), observer=QuietObserver(), with_keys=False, with_nodes=False) as opened:
        yield _for_commands(opened)


@contextmanager
def books_and_nodes(observer: Observer | None = None) -> Iterator[Custody]:
    """The service for what needs the chain's answer: no key material; each node must be the right one."""
    with open_service(require_chains(settings_now()), observer=observer or QuietObserver(), with_keys=False) as opened:
        yield _for_commands(opened)


@contextmanager
def everything(observer: Observer, *, create: bool = False) -> Iterator[Opened]:
    """The whole service, with the keys: for `init` and the scanner."""
    with open_service(require_chains(settings_now()), observer=observer, create=create) as opened:
        yield opened


def chain_number(text: str | None) -> int | None:
    """The chain id of `eip155:1` or `1`. Raises `ValidationFailed`."""
    if text is None:
        return None
    match = _CHAIN.fullmatch(text)
    if match is None:
        raise ValidationFailed("a chain is written as eip155:11155111, or by its number", pointer="/chain")
    return int(match[1])


def moment(text: str | None, *, pointer: str) -> datetime | None:
    """A time as people type it, in RFC 3339. Raises `ValidationFailed`."""
    try:
        return None if text is None else datetime.fromisoformat(text)
    except ValueError:
        raise ValidationFailed("a time is written as 2027-01-31T00:00:00Z", pointer=pointer) from None


def _for_commands(opened: Opened) -> Custody:
    opened.custody.background_works = True  # by the scanner: a command that waits only waits
    return opened.custody
