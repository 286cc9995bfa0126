"""The composition root of the processes that hold keys. Nobody else loads this room, nor the libraries for keys that it needs.

An installation's master key is looked at before anything is changed, made after everything else was found sound, and closed at
the end.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from custody_app.config import ConfigurationError, Settings
from custody_core.errors import KeyIntegrity
from custody_core.ports import Entropy
from custody_keys.key_file import KeyFileError, MasterKeys, load_key_file, make_key_file
from custody_keys.sealed import SealedKeys, check_value, matches_check_value
from custody_sql.store import SqlStore

KEY_CHECK = "key-check"
"""The setting in the database that tells the right master key from a wrong one."""

KEY_FILE_WAIT_S = 2.0
"""How long a key file that is still empty is given, before it is taken for one that was never finished."""


class InstallationKeys:
    """The master key of an installation's settings and database."""

    def __init__(self, settings: Settings, store: SqlStore, *, create: bool) -> None:
        """Reads the key file. With `create` there need be none where nothing was sealed before.

        Raises `ConfigurationError`, `KeyFileError`, `KeyIntegrity`.
        """
        self._path = settings.key_file
        self._master = _existing_keys(self._path, _key_check(store), create=create)
        self.were_made = False

    def make_missing(self) -> None:
        """Makes the key file where there was none to read. Raises `KeyFileError`."""
        if self._master is None:
            self.were_made = _make_keys(self._path)
            self._master = _written_keys(self._path)

    def sealed(self, entropy: Entropy) -> SealedKeys:
        """The `Keys` under this master key, as long as it is open. Raises `SignerUnavailable`."""
        return SealedKeys(self._there(), entropy)

    def keep_check(self, store: SqlStore) -> None:
        """Lets a new database know its master key. Raises `KeyIntegrity` where it knows another one by now."""
        with store.transaction() as unit:
            unit.lock_pool()  # of two that make keys at once, the second sees what the first one kept
            kept = unit.setting(KEY_CHECK)
            if kept is None:
                unit.put_setting(KEY_CHECK, check_value(self._there()))
            else:
                _require_match(self._there(), kept)

    def close(self) -> None:
        """Wipes what was read."""
        if self._master is not None:
            self._master.close()

    def _there(self) -> MasterKeys:
        if self._master is None:
            raise RuntimeError("the master key is used before it was made")
        return self._master


def check_key_file(settings: Settings, store: SqlStore) -> None:
    """Raises `KeyFileError` or `KeyIntegrity` unless the key file is sound and the one that the database was sealed under."""
    InstallationKeys(settings, store, create=False).close()


def _key_check(store: SqlStore) -> bytes | None:
    """What the database says about the master key; None where there is no database yet."""
    if not store.exists():
        return None
    with store.reading() as unit:
        return unit.setting(KEY_CHECK)


def _existing_keys(path: Path, sealed_under: bytes | None, *, create: bool) -> MasterKeys | None:
    """The master keys; None where they may be made, because there is no file and nothing was sealed before."""
    if create and sealed_under is None:
        if not os.path.lexists(path):  # a dangling symbolic link is there, and is refused below
            _require_folder(path)
            return None
        return _written_keys(path)
    master = load_key_file(path)
    if sealed_under is not None:
        _require_match(master, sealed_under)
    return master


def _require_match(master: MasterKeys, sealed_under: bytes) -> None:
    if not matches_check_value(master, sealed_under):
        master.close()
        raise KeyIntegrity(
            "this key file is not the one that this database's keys are sealed under; set CUSTODY_KEY_FILE to the right one"
        )


def _require_folder(path: Path) -> None:
    """A key file that cannot be made is known before anything else is."""
    if not path.parent.is_dir() or not os.access(path.parent, os.W_OK):
        raise ConfigurationError("the key file cannot be made: the folder in CUSTODY_KEY_FILE is not there, or not writable")


def _make_keys(path: Path) -> bool:
    """Makes the key file; False where another process that starts at the same moment has made it first."""
    try:
        make_key_file(path)
    except KeyFileError:
        if not os.path.lexists(path):
            raise
        return False
    return True


def _written_keys(path: Path) -> MasterKeys:
    """The master keys of a file that another process may be making right now: it is empty for a moment."""
    deadline_s = time.monotonic() + KEY_FILE_WAIT_S
    while time.monotonic() < deadline_s and _is_empty(path):
        time.sleep(0.02)
    return load_key_file(path)


def _is_empty(path: Path) -> bool:
    try:
        return path.lstat().st_size == 0
    except OSError:
        return False  # loading it says what is wrong
