"""The search for key material finds every form that it claims to, or it would prove nothing."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.leaks import assert_no_leak, forms_of

SECRET = bytes(range(100, 132))


def found(content: bytes) -> bool:
    try:
        assert_no_leak([content], [SECRET])
    except AssertionError:
        return True
    return False


@pytest.mark.parametrize(
    "content",
    [
        b"x" + SECRET + b"x",
        b"0x" + SECRET.hex().encode(),
        SECRET.hex().upper().encode(),
        base64.b64encode(SECRET),
        base64.urlsafe_b64encode(SECRET),
        base64.b32encode(SECRET),
        str(int.from_bytes(SECRET, "big")).encode(),
        f"key={SECRET!r}".encode(),
        f"key={bytearray(SECRET)!r}".encode(),
        str(list(SECRET)).encode(),
        SECRET[:16].hex().encode(),
        b"..." + SECRET[16:],
    ],
)
def test_every_form_is_found(content: bytes) -> None:
    assert found(content)


@given(st.binary(max_size=20), st.binary(max_size=20))
def test_base64_of_something_longer_is_found(before: bytes, after: bytes) -> None:
    assert found(base64.b64encode(before + SECRET + after))
    assert found(base64.urlsafe_b64encode(before + SECRET + after))


def test_other_keys_are_not_found() -> None:
    other = bytes(range(32))
    assert not found(b"".join(forms_of(other)))


def test_files_and_folders_are_read(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "custody.db-wal").write_bytes(b"\0" * 4096 + SECRET)
    for place in (tmp_path, tmp_path / "deep" / "custody.db-wal"):
        with pytest.raises(AssertionError, match=r"custody\.db-wal holds key material") as raised:
            assert_no_leak([place], [SECRET])
        assert not found(str(raised.value).encode())
    with pytest.raises(FileNotFoundError):
        assert_no_leak([tmp_path / "missing"], [SECRET])


def test_a_search_for_nothing_or_nowhere_fails(tmp_path: Path) -> None:
    for places, secrets in (([], [SECRET]), ([b"content"], []), ([tmp_path], [SECRET])):
        with pytest.raises(AssertionError, match="nothing was looked for, or nowhere"):
            assert_no_leak(places, secrets)
    with pytest.raises(ValueError, match="by chance"):
        assert_no_leak([b"content"], [b"short"])
