"""P1: open a sealed key, check its address, sign an EIP-1559 transfer, serialise it, hash it. CPU time of one.

Ours is `SealedKeys.sign`, the whole of it, over 100 wallets in turn. The peer does the same: it opens the key with PyNaCl, then
calls eth-account's `Account.from_key`, compares `.address`, and calls `.sign_transaction` on it; its curve library is coincurve.
`peer_sign_only` is eth-account's `Account.sign_transaction` alone, with a key that lies open; `peer_as_installed` is the peer
without coincurve, which eth-account does not bring along. `ours_first_of_wallet` is ours for a wallet whose public key was not
seen before. The limit is libsecp256k1 alone, one recoverable signature and one public key, through coincurve's private module.
All give the same bytes.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import attrs
from coincurve._libsecp256k1 import ffi, lib  # type: ignore[import-not-found]  # an extension module
from coincurve.context import GLOBAL_CONTEXT

from custody_app.system import SystemEntropy
from custody_core import Address, TransactionState
from custody_core.domain.addresses import address_from_bytes
from custody_core.domain.authorisation import Authorised, authorise
from custody_core.domain.encoding import signing_hash
from custody_core.domain.wallet import SealedKey
from custody_keys import secp256k1
from custody_keys.key_file import load_key_file, make_key_file
from custody_keys.sealed import SealedKeys
from tests.benchmarks.environments import python_of
from tests.benchmarks.harness import Result, interleaved, median, ratio, spread
from tests.benchmarks.worker import Worker
from tests.support import factories

WALLETS = 100
ROUNDS = 40
NONCES = (0, 1, 127, 128, 255, 256, 65_535, 65_536)
NATIVE_BACKEND = {"ECC_BACKEND_CLASS": "eth_keys.backends.native.NativeECCBackend"}


@attrs.frozen
class Job:
    """One transaction to sign. `private_key` is for the peers and the limit; ours has the sealed one."""

    authorised: Authorised
    sealed: SealedKey
    private_key: bytes

    @property
    def for_peer(self) -> tuple[str, str, dict[str, Any]]:
        """Key as hex, address, and the fields as eth-account's documentation gives them."""
        unsigned = self.authorised.unsigned
        fields = {
            "type": 2,
            "chainId": unsigned.chain_id,
            "nonce": unsigned.nonce,
            "maxPriorityFeePerGas": unsigned.max_priority_fee_per_gas,
            "maxFeePerGas": unsigned.max_fee_per_gas,
            "gas": unsigned.gas_limit,
            "to": address_from_bytes(unsigned.to),
            "value": unsigned.value,
        }
        return self.private_key.hex(), self.sealed.address, fields


def run() -> Result:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        make_key_file(folder / "bench.key")
        master = load_key_file(folder / "bench.key")
        stack.callback(master.close)
        keys = SealedKeys(master, SystemEntropy())
        jobs = make_jobs(keys)
        python = python_of("bench")
        with_coincurve = stack.enter_context(Worker(python, "signing"))
        as_installed = stack.enter_context(Worker(python, "signing", NATIVE_BACKEND))
        _require_backend(with_coincurve, jobs, "CoinCurveECCBackend")
        _require_backend(as_installed, jobs, "NativeECCBackend")
        _require_equal_bytes(keys, jobs, [(with_coincurve, "open_check_sign"), (with_coincurve, "sign"), (as_installed, "sign")])
        variants = {
            "ours": lambda: _cpu_us(lambda job: keys.sign(job.authorised, job.sealed), jobs, 400),
            "ours_first_of_wallet": lambda: _cpu_us(lambda job: _sign_anew(keys, job), jobs, 400),
            "limit": lambda: _cpu_us_of_limit(jobs, 400),
            "peer": lambda: float(with_coincurve.ask("cpu_us", call="open_check_sign", repeats=40)),
            "peer_sign_only": lambda: float(with_coincurve.ask("cpu_us", call="sign", repeats=40)),
            "peer_as_installed": lambda: float(as_installed.ask("cpu_us", call="open_check_sign", repeats=4)),
        }
        rounds = interleaved("P1", variants, rounds=ROUNDS)
    more: dict[str, float | str] = {
        name: median(rounds, name) for name in ("ours_first_of_wallet", "peer_sign_only", "peer_as_installed")
    }
    more["ratio_to_limit_first_of_wallet"] = ratio(rounds, "ours_first_of_wallet", "limit")
    more |= {f"ratio_to_{name}": ratio(rounds, name, "ours") for name in ("peer_sign_only", "peer_as_installed")}
    more |= {"rounds_to_peer": spread(rounds, "peer", "ours"), "rounds_to_limit": spread(rounds, "ours", "limit")}
    return Result(
        id="P1",
        name="open a sealed key and sign a transfer, CPU",
        ours=median(rounds, "ours"),
        peer=median(rounds, "peer"),
        limit=median(rounds, "limit"),
        ratio_to_peer=ratio(rounds, "peer", "ours"),
        ratio_to_limit=ratio(rounds, "ours", "limit"),
        unit="µs",
        runs=ROUNDS,
        more=more,
    )


def make_jobs(keys: SealedKeys) -> list[Job]:
    """A transfer of each of `WALLETS` wallets, with nonces at the edges of their encodings."""
    jobs = []
    for index, sealed in enumerate(keys.create([f"wal_bench{number:020}" for number in range(WALLETS)])):
        wallet = factories.wallet("usr_bench", id=sealed.wallet_id, address=Address(sealed.address))
        attempt, nonce = factories.attempt(), NONCES[index % len(NONCES)]
        planned = factories.transaction(
            wallet, state=TransactionState.PENDING_SIGNATURE, nonce=nonce, attempts=(attempt,), amount=10**17 + index
        )
        authorised = authorise(planned, attempt, factories.decision(planned, nonce=nonce))
        jobs.append(Job(authorised, sealed, bytes(keys._open(sealed))))
    return jobs


def _require_backend(worker: Worker, jobs: Sequence[Job], wanted: str) -> None:
    backend = worker.ask("prepare", jobs=[job.for_peer for job in jobs])
    if backend != wanted:
        raise AssertionError(f"eth-account works with {backend}, not with {wanted}")


def _require_equal_bytes(keys: SealedKeys, jobs: Sequence[Job], peers: Sequence[tuple[Worker, str]]) -> None:
    ours = [keys.sign(job.authorised, job.sealed) for job in jobs]
    wanted = [[each.raw.hex(), each.hash.removeprefix("0x")] for each in ours]
    for worker, call in peers:
        if worker.ask("signed", call=call) != wanted:
            raise AssertionError(f"eth-account's {call} gives other bytes")


def _cpu_us(sign: Callable[[Job], object], jobs: Sequence[Job], repeats: int) -> float:
    count = len(jobs)
    start = time.process_time_ns()
    for index in range(repeats):
        sign(jobs[index % count])
    return (time.process_time_ns() - start) / repeats / 1000


def _sign_anew(keys: SealedKeys, job: Job) -> None:
    secp256k1._address_of_public_key.cache_clear()
    keys.sign(job.authorised, job.sealed)


def _cpu_us_of_limit(jobs: Sequence[Job], repeats: int) -> float:
    context, null = GLOBAL_CONTEXT.ctx, ffi.NULL
    signature, public_key = ffi.new("secp256k1_ecdsa_recoverable_signature *"), ffi.new("secp256k1_pubkey *")
    work = [(signing_hash(job.authorised.unsigned), job.private_key) for job in jobs]
    count = len(work)
    start = time.process_time_ns()
    for index in range(repeats):
        digest, key = work[index % count]
        lib.secp256k1_ecdsa_sign_recoverable(context, signature, digest, key, null, null)
        lib.secp256k1_ec_pubkey_create(context, public_key, key)
    return (time.process_time_ns() - start) / repeats / 1000
