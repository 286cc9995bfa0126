"""The folder that the demo works in."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from custody_app.config import ConfigurationError
from custody_app.devchain import CHAIN_ID, DevChain


def write_settings(folder: Path, chain: DevChain) -> Path:
    """The settings file that every command of the demo reads, and that its viewer may go on with."""
    home = folder.absolute()
    settings = {
        "database_url": database_url(folder),
        "key_file": str(home / "custody.key"),
        "rpc_url": chain.rpc_url,
        "chain_id": CHAIN_ID,
        "scan_interval_s": 0.25,
    }
    file = folder / "custody.toml"
    # A JSON string is a TOML string, and a JSON number a TOML number.
    file.write_text("".join(f"{name} = {json.dumps(value)}\n" for name, value in settings.items()), "utf-8")
    return file.absolute()


def write_connection(folder: Path, connection: Mapping[str, str]) -> Path:
    """`connection.json`: what a program needs to connect. Only this user may read it, and it is never there in part."""
    file, draft = folder / "connection.json", folder / "connection.json.new"
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as output:
        output.write(json.dumps(connection, indent=2) + "\n")
    return draft.rename(file)


def database_url(folder: Path) -> str:
    """Where the demo keeps everything."""
    return f"sqlite:///{folder.absolute() / 'custody.db'}"


@contextmanager
def fresh_folder(folder: Path) -> Iterator[Path]:
    """An empty folder that only this user can open, held against a second demo until the end."""
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        raise ConfigurationError(f"{folder} cannot be made here, or is no folder; start the demo somewhere else") from None
    try:
        _empty(folder, descriptor)
        yield folder
    finally:
        os.close(descriptor)


def _empty(folder: Path, descriptor: int) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise ConfigurationError(f"a demo is running in {folder} already; end that one first (Ctrl-C)") from None
    try:
        folder.chmod(0o700)
        for entry in folder.iterdir():
            shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()
    except OSError:
        raise ConfigurationError(f"{folder} cannot be emptied; remove it, or start the demo somewhere else") from None
