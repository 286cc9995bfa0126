"""Finds key material where it must not be: in files, dumps, logs, exception reports.

`assert_no_leak` knows the forms in which a program would leave a secret behind without meaning to, and looks for its halves too,
since half a key is a leak and a report may cut the other half off.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator
from pathlib import Path


def forms_of(secret: bytes) -> list[bytes]:
    """`secret` as raw bytes, hex, base64 (both alphabets, at every offset), base32, decimal, and as Python prints bytes."""
    number = str(int.from_bytes(secret, "big"))
    shown = repr(secret)[2:-1]
    listed = [str(byte) for byte in secret]
    texts = [
        *(secret.hex(), secret.hex().upper(), secret.hex(" ")),
        *_base64_forms(secret),
        *(base64.b32encode(secret).decode().rstrip("="), base64.b32encode(secret).decode().rstrip("=").lower()),
        *(number, str(int.from_bytes(secret, "little"))),
        *(shown, shown.replace("\\", "\\\\"), ",".join(listed), ", ".join(listed)),
    ]
    return list(dict.fromkeys([secret, secret[::-1], *(text.encode() for text in texts)]))


def assert_no_leak(places: Iterable[Path | bytes], secrets: Iterable[bytes]) -> None:
    """Fails, without showing the secret, if one of `secrets` (16 bytes or more each) is in a place: bytes, a file or a folder."""
    wanted = [form for secret in secrets for piece in _pieces(secret) for form in forms_of(piece)]
    looked_at = 0
    for name, content in _contents(places):
        looked_at += 1
        found = sum(form in content for form in wanted)
        if found:
            raise AssertionError(f"{name} holds key material ({found} of {len(wanted)} forms)")
    if not wanted or not looked_at:
        raise AssertionError("nothing was looked for, or nowhere")


def _base64_forms(secret: bytes) -> Iterator[str]:
    """Within longer data a secret may begin at any of three offsets; the characters that it shares with others are left out."""
    for offset in range(3):
        first, end = -(-offset * 8 // 6), (offset + len(secret)) * 8 // 6
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            yield encode(bytes(offset) + secret).decode()[first:end]


def _pieces(secret: bytes) -> tuple[bytes, ...]:
    if len(secret) < 16:
        raise ValueError("so short a secret is found by chance")
    half = len(secret) // 2
    return secret, secret[:half], secret[half:]


def _contents(places: Iterable[Path | bytes]) -> Iterator[tuple[str, bytes]]:
    for place in places:
        if isinstance(place, bytes):
            yield "what was given", place
        elif place.is_dir():
            yield from ((str(file), file.read_bytes()) for file in sorted(place.rglob("*")) if file.is_file())
        else:
            yield str(place), place.read_bytes()
