"""The master key file (docs/adr/0005-sealed-keys.md).

Rules of this file

1. A key file is made once, never overwritten and never mended: without it, every key sealed under it is lost.
2. It is read only if nobody but its owner could have read it, and only if writing it again would give the same bytes.
3. Whatever is wrong has a message that names the next step, and nothing else: no path, no content.
4. A function that has key material in a variable returns what is wrong instead of raising it. Reporters print the variables of
   every frame that an exception passes through.
"""

from __future__ import annotations

import base64
import errno
import os
import re
import stat
from collections.abc import Mapping
from enum import Enum
from hashlib import blake2b
from pathlib import Path
from threading import Lock
from typing import ClassVar, Final, NoReturn

import nacl.utils

from custody_core.errors import CustodyError, Sealed
from custody_keys.randomness import CheckedEntropy
from custody_keys.secp256k1 import EntropyFailure

MASTER_KEY_BYTES: Final = 32
FINGERPRINT_BYTES: Final = 8
FILE_BYTES_MAX: Final = 65_536

_NAME: Final = "custody-master-key"
_FIRST_LINE: Final = f"{_NAME} 1\n"
_LINE: Final = re.compile(r"([1-9][0-9]{0,8}) ([A-Za-z0-9+/]{43}=) [0-9a-f]{16}", re.ASCII)
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO


class KeyFileError(CustodyError):
    """The master key file cannot be used, or cannot be made; nothing was changed."""

    code: ClassVar[str] = "key-file"


class _Problem(Enum):
    """What is wrong, and what to do about it."""

    MISSING = "there is no key file; set KEY_FILE to the one that `custody init` made, or restore it from its backup"
    SYMLINK = "the key file is a symbolic link, which others could turn elsewhere; set KEY_FILE to the file itself"
    NOT_A_FILE = "KEY_FILE does not name a regular file; set it to the file that `custody init` made"
    OWNER = "the key file belongs to another user; make this user its owner (chown), or start as its owner"
    MODE = "other users may open the key file; allow its owner only (chmod 600), and think about whether it was read"
    UNREADABLE = "this user cannot read the key file; make this user its owner and allow it to read (chmod 600)"
    FOREIGN = "this is not a master key file; set KEY_FILE to the one that `custody init` made"
    FORMAT = "the key file has a format that this version does not know; start the version that made it, or a newer one"
    TRUNCATED = "the key file ends early; restore it from its backup, or remove it if it was never used"
    DAMAGED = "the key file has a line that is not one of a key; restore it from its backup"
    FINGERPRINT = "a key in the key file does not have its fingerprint; restore the file from its backup"
    EXISTS = "a file is there already and is never overwritten; use it, or choose another name for a new key file"
    FOLDER = "the folder for the key file does not exist; make it first, readable by this user only"
    UNWRITABLE = "the key file cannot be written there; choose a folder that this user may write to, with space left"
    RANDOMNESS = "the system's source of randomness repeats itself, so no key was made; do not use this machine for keys"


class MasterKeys:
    """The keys that wallet keys are sealed under, by version. Equal only to itself, never printed, pickled or copied.

    `close` overwrites what it holds. Copies that CPython and libraries made meanwhile are beyond reach.
    """

    __slots__ = ("_keys", "_lock")

    def __init__(self, keys: Mapping[int, bytes]) -> None:
        """`keys` is version → 32 bytes, at least one; the highest version seals new keys."""
        if not keys or any(version < 1 or len(key) != MASTER_KEY_BYTES for version, key in keys.items()):
            raise ValueError("a master key is 32 bytes and has a version of at least 1")
        self._keys = {version: bytearray(key) for version, key in keys.items()}
        self._lock = Lock()

    def newest(self) -> tuple[int, bytes]:
        """The version that seals new keys, and a copy of its key. Raises `Sealed` after `close`."""
        with self._lock:
            self._require_open()
            version = max(self._keys)
            return version, bytes(self._keys[version])

    def of_version(self, version: int) -> bytes | None:
        """A copy of that version's key, None if there is none. Raises `Sealed` after `close`."""
        with self._lock:  # or a key could be copied half wiped, and something sealed under it
            self._require_open()
            key = self._keys.get(version)
            return None if key is None else bytes(key)

    def close(self) -> None:
        """Overwrites the keys, as far as CPython lets us. They are gone afterwards; a second call does nothing."""
        with self._lock:
            for key in self._keys.values():
                key[:] = bytes(len(key))
            self._keys.clear()

    def _require_open(self) -> None:
        if not self._keys:
            raise Sealed("the master key is not loaded")

    def __repr__(self) -> str:
        return f"<MasterKeys, versions {sorted(self._keys)}>"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("master keys are neither pickled nor copied")


def make_key_file(path: Path) -> None:
    """Makes a key file with one new key, readable by its owner only, safe on disk when this returns. Raises `KeyFileError`."""
    problem = _make(path)
    if problem is not None:
        raise KeyFileError(problem.value)


def load_key_file(path: Path) -> MasterKeys:
    """The keys in that file. Raises `KeyFileError`."""
    loaded = _load(path)
    if isinstance(loaded, _Problem):
        raise KeyFileError(loaded.value)
    return loaded


def _make(path: Path) -> _Problem | None:
    try:
        key = CheckedEntropy(nacl.utils.random).random_bytes(MASTER_KEY_BYTES)
    except EntropyFailure:
        return _Problem.RANDOMNESS
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        return _Problem.EXISTS
    except (FileNotFoundError, NotADirectoryError):
        return _Problem.FOLDER
    except OSError:
        return _Problem.UNWRITABLE
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, 0o600)  # whatever the umask took away
            file.write((_FIRST_LINE + _line(1, key) + "\n").encode("ascii"))
            file.flush()
            os.fsync(descriptor)
        _sync_folder(path.parent)
    except OSError:
        path.unlink(missing_ok=True)  # ours: it did not exist before, and nothing is sealed under it
        return _Problem.UNWRITABLE
    return None


def _sync_folder(folder: Path) -> None:
    """A new file survives a power cut only when its folder's entry does."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _load(path: Path) -> MasterKeys | _Problem:
    try:
        # The checks below are on what was opened, so nothing can be exchanged in between. Not blocking: it may be a pipe.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as failure:
        return _why_not_opened(failure.errno)
    try:
        return _distrust(os.fstat(descriptor)) or _parse(os.read(descriptor, FILE_BYTES_MAX + 1))
    except OSError:
        return _Problem.UNREADABLE
    finally:
        os.close(descriptor)


def _why_not_opened(number: int | None) -> _Problem:
    match number:
        case errno.ENOENT | errno.ENOTDIR:
            return _Problem.MISSING
        case errno.ELOOP:
            return _Problem.SYMLINK
        case _:
            return _Problem.UNREADABLE


def _distrust(status: os.stat_result) -> _Problem | None:
    if not stat.S_ISREG(status.st_mode):
        return _Problem.NOT_A_FILE
    if status.st_uid != os.geteuid():
        return _Problem.OWNER
    return _Problem.MODE if status.st_mode & _OTHERS else None


def _parse(content: bytes) -> MasterKeys | _Problem:
    text = content.decode("ascii", errors="replace")
    if _FIRST_LINE.startswith(text):
        return _Problem.TRUNCATED
    if not text.startswith(_FIRST_LINE):
        return _Problem.FORMAT if text.startswith(f"{_NAME} ") else _Problem.FOREIGN
    if not text.endswith("\n"):
        return _Problem.TRUNCATED if len(content) <= FILE_BYTES_MAX else _Problem.FOREIGN
    return _parse_lines(text.removeprefix(_FIRST_LINE).removesuffix("\n").split("\n"))


def _parse_lines(lines: list[str]) -> MasterKeys | _Problem:
    keys: dict[int, bytes] = {}
    for line in lines:
        parts = _LINE.fullmatch(line)
        if parts is None or int(parts[1]) in keys:
            return _Problem.DAMAGED
        version, key = int(parts[1]), base64.b64decode(parts[2])
        if line != _line(version, key):
            return _Problem.FINGERPRINT
        keys[version] = key
    return MasterKeys(keys)


def _line(version: int, key: bytes) -> str:
    fingerprint = blake2b(version.to_bytes(4, "big") + key, digest_size=FINGERPRINT_BYTES, person=b"custody-key-file")
    return f"{version} {base64.b64encode(key).decode('ascii')} {fingerprint.hexdigest()}"
