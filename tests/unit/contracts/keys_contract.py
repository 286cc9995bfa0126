"""What every adapter of the `Keys` port promises. A test class inherits `KeysContract` and says how its adapter is made."""

from __future__ import annotations

import random
import traceback
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import cast

import attrs
import pytest
from eth_account import Account

from custody_core.domain.addresses import Address, address_to_bytes
from custody_core.domain.authorisation import Authorised, AuthorisedCancellation, AuthorisedPayment, NotAuthorised
from custody_core.domain.encoding import LOW_S_MAX, FeeMarketTransaction, decode_signed
from custody_core.domain.wallet import SealedKey
from custody_core.errors import KeyIntegrity, SignerUnavailable
from custody_core.ports import Keys
from tests.support.leaks import assert_no_leak

RECIPIENT = b"\xcc" * 20
WALLET, OTHER_WALLET = "wal_01k7000000000000000000000a", "wal_01k7000000000000000000000b"


class SeededEntropy:
    """Chance that can be had again. `draws` is all that was drawn."""

    def __init__(self, seed: int = 1) -> None:
        self._random = random.Random(seed)
        self.draws: list[bytes] = []

    def random_bytes(self, count: int) -> bytes:
        self.draws.append(self._random.randbytes(count))
        return self.draws[-1]

    def private_key_of(self, address: Address) -> bytes:
        """The draw that became the key of `address`, by an independent library."""
        return next(draw for draw in self.draws if len(draw) == 32 and Account.from_key(draw).address == address)


class RepeatingEntropy:
    """A source that has begun to give the same bytes at each call, after `sound` good ones."""

    def __init__(self, sound: int = 0) -> None:
        self._sound, self._good = sound, SeededEntropy(9)

    def random_bytes(self, count: int) -> bytes:
        if self._sound > 0:
            self._sound -= 1
            return self._good.random_bytes(count)
        return bytes(range(7, 7 + count))


def payment(key: SealedKey, **changes: object) -> AuthorisedPayment:
    """A payment from the wallet of `key`, with some fields of its transaction changed."""
    unsigned = FeeMarketTransaction(31_337, 5, 10**9, 10**11, 60_000, RECIPIENT, 10**18)
    return AuthorisedPayment(key.wallet_id, key.address, "dec_1", attrs.evolve(unsigned, **changes))  # type: ignore[arg-type]


def cancellation(key: SealedKey, **changes: object) -> AuthorisedCancellation:
    """A cancellation for the wallet of `key`, with some fields of its transaction changed."""
    unsigned = FeeMarketTransaction(31_337, 5, 10**9, 10**11, 21_000, address_to_bytes(key.address), 0)
    return AuthorisedCancellation(key.wallet_id, key.address, "txn_1", attrs.evolve(unsigned, **changes))  # type: ignore[arg-type]


def by_eth_account(unsigned: FeeMarketTransaction, private_key: bytes) -> tuple[bytes, str]:
    """Raw transaction and hash as the oracle makes them."""
    fields = {
        "type": 2,
        "chainId": unsigned.chain_id,
        "nonce": unsigned.nonce,
        "maxPriorityFeePerGas": unsigned.max_priority_fee_per_gas,
        "maxFeePerGas": unsigned.max_fee_per_gas,
        "gas": unsigned.gas_limit,
        "to": unsigned.to,
        "value": unsigned.value,
        "data": unsigned.data,
    }
    signed = Account.sign_transaction(fields, private_key)
    return bytes(signed.raw_transaction), "0x" + bytes(signed.hash).hex()


def report_of(error: BaseException) -> bytes:
    """What a reporter would send: message, traceback, and the variables of every frame outside the tests, causes included."""
    lines = ["".join(traceback.format_exception(error, chain=True))]
    link: BaseException | None = error
    while link is not None:
        lines += [repr(link), str(link)]
        lines += [f"{name}={value!r}" for frame in _frames(link.__traceback__) for name, value in frame.items()]
        link = link.__cause__ or link.__context__
    return "\n".join(lines).encode()


def _frames(step: TracebackType | None) -> Iterator[dict[str, object]]:
    while step is not None:
        if "/tests/" not in step.tb_frame.f_code.co_filename:
            yield step.tb_frame.f_locals
        step = step.tb_next


def refused(call: Callable[[], object]) -> KeyIntegrity:
    """The refusal of `call`, which must be about integrity and tell no more than the wallet."""
    with pytest.raises(KeyIntegrity) as raised:
        call()
    assert raised.value.code == "key-integrity"
    assert set(raised.value.extra) <= {"wallet_id"}
    assert raised.value.__context__ is None
    return raised.value


def assert_refused(keys: Keys, row: SealedKey) -> None:
    """Neither opens nor signs."""
    refused(lambda: keys.verify(row))
    refused(lambda: keys.sign(payment(row), row))


class KeysContract:
    """The contract. `make` is the adapter over the given chance."""

    def make(self, entropy: SeededEntropy | RepeatingEntropy) -> Keys:
        raise NotImplementedError

    @pytest.fixture
    def entropy(self) -> SeededEntropy:
        return SeededEntropy()

    @pytest.fixture
    def keys(self, entropy: SeededEntropy) -> Keys:
        return self.make(entropy)

    def test_creates_one_key_per_wallet_in_order(self, keys: Keys) -> None:
        made = keys.create([WALLET, OTHER_WALLET])
        assert [key.wallet_id for key in made] == [WALLET, OTHER_WALLET]
        assert len({key.address for key in made}) == len({key.sealed for key in made}) == 2
        for key in made:
            keys.verify(key)
        assert list(keys.create([])) == []

    @pytest.mark.parametrize(
        "changes",
        [
            {},
            {"chain_id": 1, "nonce": 0},
            {"data": bytes.fromhex("a9059cbb") + bytes(12) + RECIPIENT + (10**6).to_bytes(32, "big"), "value": 0},
            {"value": 2**256 - 1, "nonce": 2**64 - 2},
        ],
    )
    def test_signatures_equal_those_of_eth_account_for_payments(
        self, keys: Keys, entropy: SeededEntropy, changes: dict[str, object]
    ) -> None:
        (key,) = keys.create([WALLET])
        authorised = payment(key, **changes)
        signed = keys.sign(authorised, key)
        assert (signed.raw, signed.hash) == by_eth_account(authorised.unsigned, entropy.private_key_of(key.address))
        assert Account.recover_transaction(signed.raw) == key.address

    def test_signatures_equal_those_of_eth_account_for_cancellations(self, keys: Keys, entropy: SeededEntropy) -> None:
        (key,) = keys.create([WALLET])
        authorised = cancellation(key)
        signed = keys.sign(authorised, key)
        assert (signed.raw, signed.hash) == by_eth_account(authorised.unsigned, entropy.private_key_of(key.address))

    def test_k_20_signatures_are_low_s_deterministic_and_the_wallets_own(self, keys: Keys) -> None:
        (key,) = keys.create([WALLET])
        for nonce in range(50):
            signed = keys.sign(payment(key, nonce=nonce), key)
            unsigned, y_parity, r, s = decode_signed(signed.raw)
            assert unsigned == payment(key, nonce=nonce).unsigned
            assert y_parity in {0, 1}
            assert r > 0
            assert 0 < s <= LOW_S_MAX
            assert Account.recover_transaction(signed.raw) == key.address
            assert keys.sign(payment(key, nonce=nonce), key) == signed

    def test_k_02_ciphertexts_of_two_wallets_exchanged(self, keys: Keys) -> None:
        one, two = keys.create([WALLET, OTHER_WALLET])
        assert_refused(keys, attrs.evolve(one, sealed=two.sealed))
        assert_refused(keys, attrs.evolve(two, sealed=one.sealed))
        keys.verify(one)  # the refusals have changed nothing

    def test_k_03_every_byte_of_a_sealed_key_counts(self, keys: Keys) -> None:
        (key,) = keys.create([WALLET])
        for position in range(len(key.sealed)):
            for flip in (0x01, 0x80, 0xFF):
                changed = bytearray(key.sealed)
                changed[position] ^= flip
                assert_refused(keys, attrs.evolve(key, sealed=bytes(changed)))

    def test_k_03_shorter_and_longer_seals(self, keys: Keys) -> None:
        (key,) = keys.create([WALLET])
        for length in range(len(key.sealed)):
            assert_refused(keys, attrs.evolve(key, sealed=key.sealed[:length]))
            assert_refused(keys, attrs.evolve(key, sealed=key.sealed[length + 1 :]))
        for extended in (key.sealed + b"\0", b"\0" + key.sealed, key.sealed * 2):
            assert_refused(keys, attrs.evolve(key, sealed=extended))

    def test_k_04_another_address_in_the_row(self, keys: Keys) -> None:
        one, two = keys.create([WALLET, OTHER_WALLET])
        assert_refused(keys, attrs.evolve(one, address=two.address))
        for wrong in ("0x" + "00" * 20, "0x", "", "not an address", one.address[:-2], one.address + "00"):
            assert_refused(keys, attrs.evolve(one, address=Address(wrong)))

    def test_k_04_rows_exchanged_but_for_the_wallet(self, keys: Keys) -> None:
        one, two = keys.create([WALLET, OTHER_WALLET])
        assert_refused(keys, attrs.evolve(two, wallet_id=one.wallet_id))
        assert_refused(keys, attrs.evolve(one, wallet_id=two.wallet_id))
        assert_refused(keys, attrs.evolve(one, wallet_id=""))
        assert_refused(keys, attrs.evolve(one, wallet_id="\ud800"))

    @pytest.mark.parametrize("version", [-1, 0, 2, 256, 2**32 + 1, 2**64])
    def test_another_key_version(self, keys: Keys, version: int) -> None:
        (key,) = keys.create([WALLET])
        assert_refused(keys, attrs.evolve(key, key_version=version))

    def test_signs_for_the_wallet_that_was_authorised_only(self, keys: Keys) -> None:
        one, two = keys.create([WALLET, OTHER_WALLET])
        with pytest.raises(NotAuthorised):
            keys.sign(payment(one), two)
        with pytest.raises(NotAuthorised):
            keys.sign(cancellation(one), two)

    def test_signs_no_nonce_of_another_address(self, keys: Keys) -> None:
        one, two = keys.create([WALLET, OTHER_WALLET])
        for authorised in (payment(one), cancellation(one)):
            with pytest.raises(NotAuthorised):
                keys.sign(attrs.evolve(authorised, sender=two.address), one)

    def test_signs_nothing_but_the_two_authorised_types(self, keys: Keys) -> None:
        @attrs.frozen
        class LooksAuthorised:
            wallet_id: str
            decision_id: str
            unsigned: FeeMarketTransaction

        (key,) = keys.create([WALLET])
        unsigned = payment(key).unsigned
        for other in (LooksAuthorised(WALLET, "dec_1", unsigned), unsigned, b"\x07" * 32, None):
            with pytest.raises(NotAuthorised):
                keys.sign(cast("Authorised", other), key)

    def test_signs_no_payload_that_is_not_ours_in_an_authorised_envelope(self, keys: Keys) -> None:
        class Chameleon(FeeMarketTransaction):
            pass

        (key,) = keys.create([WALLET])
        chameleon = Chameleon(31_337, 5, 10**9, 10**11, 60_000, RECIPIENT, 10**18)
        chainless = payment(key)
        object.__setattr__(chainless.unsigned, "chain_id", 0)
        for authorised in (AuthorisedPayment(WALLET, key.address, "dec_1", chameleon), chainless):
            with pytest.raises(NotAuthorised):
                keys.sign(authorised, key)

    @pytest.mark.parametrize(
        "changes", [{"to": RECIPIENT}, {"value": 1}, {"data": b"\0"}, {"access_list": ((RECIPIENT, ()),)}], ids=str
    )
    def test_a_cancellation_moves_nothing(self, keys: Keys, changes: dict[str, object]) -> None:
        (key,) = keys.create([WALLET])
        with pytest.raises(NotAuthorised):
            keys.sign(cancellation(key, **changes), key)

    @pytest.mark.parametrize("sound", range(7))
    def test_k_14_no_key_is_made_from_a_source_that_repeats(self, sound: int) -> None:
        with pytest.raises(SignerUnavailable, match="no key was made"):
            self.make(RepeatingEntropy(sound)).create([WALLET, OTHER_WALLET, "wal_c", "wal_d", "wal_e", "wal_f", "wal_g", "wal_h"])

    def test_the_same_chance_gives_the_same_keys(self) -> None:
        one, two = (self.make(SeededEntropy(3)).create([WALLET, OTHER_WALLET]) for _ in range(2))
        assert [key.address for key in one] == [key.address for key in two]

    def test_k_15_refusals_and_descriptions_hold_no_key(self, keys: Keys, entropy: SeededEntropy) -> None:
        one, two = keys.create([WALLET, OTHER_WALLET])
        tampered = [
            attrs.evolve(one, sealed=two.sealed),
            attrs.evolve(one, sealed=b""),
            attrs.evolve(one, address=two.address),
            attrs.evolve(one, address=Address("0x")),
            attrs.evolve(one, key_version=2),
        ]
        reports = [report_of(refused(lambda row=row: keys.sign(payment(row), row))) for row in tampered]  # type: ignore[misc]
        descriptions = [f"{thing!r} {thing!s}".encode() for thing in (keys, one, keys.sign(payment(one), one))]
        assert_no_leak([*reports, *descriptions], [draw for draw in entropy.draws if len(draw) == 32])
