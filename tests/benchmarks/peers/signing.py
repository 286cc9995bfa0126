"""P1 with eth-account, on the curve library that it finds (coincurve, or its own Python)."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from typing import Any

from eth_account import Account
from eth_account.datastructures import SignedTransaction
from nacl.bindings import (
    crypto_aead_xchacha20poly1305_ietf_decrypt,
    crypto_aead_xchacha20poly1305_ietf_encrypt,
)

from tests.benchmarks.peers.serving import serve


class Peer:
    """The jobs: private key (sealed, and open), address, and the fields of the transaction."""

    def __init__(self) -> None:
        self._master, self._nonce, self._data = os.urandom(32), os.urandom(24), os.urandom(80)
        self._jobs: list[tuple[bytes, bytes, str, dict[str, Any]]] = []

    def prepare(self, jobs: Sequence[tuple[str, str, dict[str, Any]]]) -> str:
        """Takes the jobs over; the name of the curve library in use."""
        self._jobs = []
        for key, address, fields in jobs:
            private_key = bytes.fromhex(key)
            sealed = crypto_aead_xchacha20poly1305_ietf_encrypt(private_key, self._data, self._nonce, self._master)
            self._jobs.append((sealed, private_key, address, fields))
        return type(Account._keys.backend).__name__

    def signed(self, call: str) -> list[tuple[str, str]]:
        """Raw bytes and hash of every job, as hex."""
        results = [self._call(call)(index) for index in range(len(self._jobs))]
        return [(each.raw_transaction.hex(), each.hash.hex()) for each in results]

    def cpu_us(self, call: str, repeats: int) -> float:
        """Processor time of one signature."""
        sign, count = self._call(call), len(self._jobs)
        start = time.process_time_ns()
        for index in range(repeats):
            sign(index % count)
        return (time.process_time_ns() - start) / repeats / 1000

    def _call(self, name: str) -> Callable[[int], SignedTransaction]:
        return {"open_check_sign": self._open_check_sign, "sign": self._sign}[name]

    def _open_check_sign(self, index: int) -> SignedTransaction:
        """The same work as ours: `Account.from_key`, compare `.address`, `.sign_transaction`."""
        sealed, _, address, fields = self._jobs[index]
        account = Account.from_key(crypto_aead_xchacha20poly1305_ietf_decrypt(sealed, self._data, self._nonce, self._master))
        if account.address != address:
            raise AssertionError("another key")
        signed: SignedTransaction = account.sign_transaction(fields)
        return signed

    def _sign(self, index: int) -> SignedTransaction:
        """Less work than ours: `Account.sign_transaction` with a key that lies open."""
        _, private_key, _, fields = self._jobs[index]
        signed: SignedTransaction = Account.sign_transaction(fields, private_key)
        return signed


if __name__ == "__main__":
    peer = Peer()
    serve({"prepare": peer.prepare, "signed": peer.signed, "cpu_us": peer.cpu_us})
