"""The service as a library: everything in the caller's process."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from custody_app.bootstrap import open_service
from custody_app.config import load_settings, require_chains
from custody_app.observers import QuietObserver
from custody_app.scanner import Scanner
from custody_core import Custody
from custody_core.ports import Observer


@contextmanager
def open_custody(
    *,
    database_url: str = "sqlite:///custody.db",
    rpc_url: str | None = None,
    chain_id: int | None = None,
    confirmations: int | str | None = None,
    key_file: str | Path = "custody.key",
    background: bool = False,
    settings: Mapping[str, str | int | float | bool] | None = None,
) -> Iterator[Custody]:
    """A `Custody` on this database, node and key file; closed at the end of the `with` block.

    On first use it makes the key file (mode 0600, never overwriting one), the tables, and a starter policy. The chain id is the
    node's own where none is given, neither here nor in `settings`. With `background` the work is done by a thread; without it,
    call `custody.tick()`, or let `custody.transactions.wait` do it. `settings` are more settings by their documented names, in
    lower case.

    Raises `ConfigurationError`, `KeyFileError`, `NodeUnavailable`; nothing is made when it raises.
    """
    named = {
        "database_url": database_url,
        "rpc_url": rpc_url,
        "chain_id": chain_id,
        "confirmations": confirmations,
        "key_file": key_file,
        **(settings or {}),
    }
    environment = {f"CUSTODY_{name.upper()}": _text(value) for name, value in named.items() if value is not None}
    observer = QuietObserver()
    loaded = require_chains(load_settings(environment))
    with open_service(loaded, observer=observer, create=True, chain_id_from_node=True) as opened:
        if opened.key_file_made:
            sys.stderr.write(f"custody: made the master key file {key_file} (mode 0600); back it up, without it no wallet opens\n")
        if not background:
            yield opened.custody
            return
        with _working(opened.custody, observer, loaded.scan_interval_s):
            yield opened.custody


@contextmanager
def _working(custody: Custody, observer: Observer, scan_interval_s: float) -> Iterator[None]:
    scanner = Scanner(custody, observer=observer, scan_interval_s=scan_interval_s)
    custody.background_works = True
    scanner.start()
    try:
        yield
    finally:
        scanner.stop()


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
