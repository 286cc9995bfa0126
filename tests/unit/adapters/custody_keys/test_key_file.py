"""The master key file: made once, read with suspicion, and each refusal says what to do."""

from __future__ import annotations

import base64
import copy
import os
import pickle
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from custody_core.errors import Sealed
from custody_keys import key_file
from custody_keys.key_file import KeyFileError, MasterKeys, load_key_file, make_key_file
from tests.support.leaks import assert_no_leak
from tests.unit.contracts.keys_contract import report_of

NOBODY = 65534


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A key file, freshly made."""
    made = tmp_path / "custody.key"
    make_key_file(made)
    return made


def key_in(path: Path) -> bytes:
    return base64.b64decode(path.read_text().split()[3])


def refusal(path: Path, use: Callable[[Path], object] = load_key_file) -> KeyFileError:
    """The refusal to `use` the file, which changes nothing and shows neither key nor place."""
    before = {entry: entry.lstat() for entry in path.parent.iterdir()}
    with pytest.raises(KeyFileError) as raised:
        use(path)
    assert raised.value.code == "key-file"
    assert raised.value.__context__ is None
    assert str(path.parent) not in raised.value.detail
    after = {entry: entry.lstat() for entry in path.parent.iterdir()}
    assert {entry: (status.st_mtime_ns, status.st_size, status.st_mode) for entry, status in before.items()} == {
        entry: (status.st_mtime_ns, status.st_size, status.st_mode) for entry, status in after.items()
    }
    return raised.value


def test_a_key_file_is_text_for_its_owner_only(path: Path) -> None:
    first, second = path.read_text().splitlines()
    version, key, fingerprint = second.split()
    assert (first, version, len(base64.b64decode(key)), len(fingerprint)) == ("custody-master-key 1", "1", 32, 16)
    assert path.stat().st_mode & 0o7777 == 0o600


@pytest.mark.parametrize("umask", [0o000, 0o777])
def test_the_mode_does_not_depend_on_the_umask(tmp_path: Path, umask: int) -> None:
    previous = os.umask(umask)
    try:
        make_key_file(tmp_path / "custody.key")
    finally:
        os.umask(previous)
    assert (tmp_path / "custody.key").stat().st_mode & 0o7777 == 0o600


def test_what_was_made_is_loaded(path: Path) -> None:
    keys = load_key_file(path)
    assert (keys.newest(), keys.of_version(1), keys.of_version(2)) == ((1, key_in(path)), key_in(path), None)


def test_a_file_that_only_its_owner_may_read_is_fine(path: Path) -> None:
    path.chmod(0o400)
    assert load_key_file(path).newest() == (1, key_in(path))


def test_two_files_hold_two_keys(tmp_path: Path) -> None:
    make_key_file(tmp_path / "one")
    make_key_file(tmp_path / "two")
    assert key_in(tmp_path / "one") != key_in(tmp_path / "two")


def test_a_file_with_several_versions(path: Path) -> None:
    newest = bytes(range(32))
    path.write_text(path.read_text() + key_file._line(12, newest) + "\n")
    keys = load_key_file(path)
    assert (keys.newest(), keys.of_version(1), keys.of_version(12)) == ((12, newest), key_in(path), newest)


# Making one


@pytest.mark.parametrize("content", ["", "something of value"])
def test_never_overwrites(tmp_path: Path, content: str) -> None:
    taken = tmp_path / "custody.key"
    taken.write_text(content)
    assert "never overwritten" in refusal(taken, make_key_file).detail
    assert taken.read_text() == content


def test_never_writes_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "custody.key").symlink_to(tmp_path / "elsewhere")
    assert "never overwritten" in refusal(tmp_path / "custody.key", make_key_file).detail
    assert not (tmp_path / "elsewhere").exists()


def test_the_folder_must_exist(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError, match="make it first"):
        make_key_file(tmp_path / "missing" / "custody.key")
    (tmp_path / "file").touch()
    with pytest.raises(KeyFileError, match="make it first"):
        make_key_file(tmp_path / "file" / "custody.key")


def test_a_disk_that_fails_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(KeyFileError, match="space left"):
        make_key_file(tmp_path / "custody.key")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("source", [bytes, lambda count: b"\x5a" * count, lambda count: bytes(range(1, count + 1))])
def test_k_14_no_key_from_a_source_that_repeats(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: Callable[[int], bytes]
) -> None:
    monkeypatch.setattr(os, "urandom", source)
    assert "no key was made" in refusal(tmp_path / "custody.key", make_key_file).detail
    assert list(tmp_path.iterdir()) == []


def test_file_and_folder_are_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    sync = os.fsync

    def watched(descriptor: int) -> None:
        synced.append(os.fstat(descriptor).st_ino)
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", watched)
    make_key_file(tmp_path / "custody.key")
    assert synced == [(tmp_path / "custody.key").stat().st_ino, tmp_path.stat().st_ino]


# Refusing one


def test_a_missing_file(tmp_path: Path) -> None:
    assert "custody init" in refusal(tmp_path / "custody.key").detail
    (tmp_path / "file").touch()
    with pytest.raises(KeyFileError, match="custody init"):
        load_key_file(tmp_path / "file" / "custody.key")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o610, 0o601, 0o644, 0o660])
def test_a_file_that_others_may_open(path: Path, mode: int) -> None:
    path.chmod(mode)
    assert "chmod 600" in refusal(path).detail


def test_a_file_of_another_user(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: path.stat().st_uid + 1)
    assert "chown" in refusal(path).detail


def test_a_symbolic_link(path: Path) -> None:
    link = path.with_name("link.key")
    link.symlink_to(path)
    assert "symbolic link" in refusal(link).detail


def test_a_folder_and_a_pipe(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir(mode=0o700)
    os.mkfifo(tmp_path / "pipe", 0o600)
    for name in ("folder", "pipe"):
        assert "regular file" in refusal(tmp_path / name).detail


@contextmanager
def ordinary_user() -> Iterator[None]:
    """Root may read everything, so for a while it is somebody else."""
    was = os.geteuid()
    os.seteuid(NOBODY if was == 0 else was)
    try:
        yield
    finally:
        os.seteuid(was)


def test_a_file_that_cannot_be_read(path: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        shut = Path(folder) / "shut.key"
        shut.write_bytes(path.read_bytes())
        shut.chmod(0o000)
        with ordinary_user():
            assert "chmod 600" in refusal(shut).detail


def test_a_file_cut_anywhere(path: Path) -> None:
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        assert "ends early" in refusal(path).detail


def test_a_key_with_another_fingerprint(path: Path) -> None:
    whole = path.read_text()
    for changed in (
        whole.replace("\n1 ", "\n2 "),
        whole[:-2] + ("0" if whole[-2] != "0" else "1") + "\n",
        whole.replace(base64.b64encode(key_in(path)).decode(), base64.b64encode(bytes(32)).decode()),
    ):
        path.write_text(changed)
        assert "fingerprint" in refusal(path).detail


def test_every_changed_byte_is_noticed(path: Path) -> None:
    whole = path.read_bytes()
    for position in range(len(whole)):
        for flip in (0x01, 0x20, 0x80):
            changed = bytearray(whole)
            changed[position] ^= flip
            path.write_bytes(bytes(changed))
            refusal(path)


def test_a_format_of_the_future(path: Path) -> None:
    path.write_text(path.read_text().replace("custody-master-key 1", "custody-master-key 2"))
    assert "newer" in refusal(path).detail


@pytest.mark.parametrize("extra", ["", "# a remark", "01 AAAA 00", " ", "1 same"])
def test_lines_that_are_not_of_a_key(path: Path, extra: str) -> None:
    line = path.read_text().splitlines()[1]
    path.write_text(path.read_text() + (line if extra == "1 same" else extra) + "\n")
    assert "not one of a key" in refusal(path).detail


@pytest.mark.parametrize(
    "content", ["0x" + "11" * 32 + "\n", '{"version": 3, "crypto": {}}', "\udcff\n", "custody-master-keys 1\n"]
)
def test_other_files(path: Path, content: str) -> None:
    path.write_bytes(content.encode(errors="surrogateescape"))
    assert "not a master key file" in refusal(path).detail


def test_a_file_without_end(path: Path) -> None:
    path.write_text(path.read_text() + key_file._line(2, bytes(32)) * 2_000)
    assert "not a master key file" in refusal(path).detail


@given(st.binary(max_size=200))
def test_any_bytes_are_refused_in_order(content: bytes) -> None:
    assert isinstance(key_file._parse(content), key_file._Problem)


# Holding the keys


def test_k_15_keys_are_not_shown_pickled_or_copied(path: Path) -> None:
    keys = load_key_file(path)
    assert_no_leak([f"{keys!r} {keys} {[keys]}".encode()], [key_in(path)])
    for attempt in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="neither pickled nor copied") as raised:
            attempt(keys)
        assert_no_leak([report_of(raised.value)], [key_in(path)])


def test_k_15_refusals_hold_no_key(path: Path) -> None:
    key, whole = key_in(path), path.read_text()
    for changed in (whole[:-1], whole[:-3] + "00\n", whole + "x\n", whole.replace("key 1", "key 2"), "x" + whole):
        path.write_text(changed)
        assert_no_leak([report_of(refusal(path))], [key])


def test_keys_are_equal_only_to_themselves() -> None:
    one, two = MasterKeys({1: bytes(32)}), MasterKeys({1: bytes(32)})
    assert one != two
    assert hash(one) != hash(two)


def test_closing_wipes_and_can_be_repeated() -> None:
    keys = MasterKeys({1: b"\1" * 32, 2: b"\2" * 32})
    held = list(keys._keys.values())
    keys.close()
    keys.close()
    assert held == [bytearray(32)] * 2
    with pytest.raises(Sealed):
        keys.of_version(1)
    with pytest.raises(Sealed):
        keys.newest()


@pytest.mark.parametrize("keys", [{}, {0: bytes(32)}, {1: bytes(31)}, {1: bytes(33)}])
def test_only_whole_keys_are_held(keys: dict[int, bytes]) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        MasterKeys(keys)
