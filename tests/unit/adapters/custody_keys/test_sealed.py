"""Sealed keys: the contract of the port, what the seal is made of, and what an insider with half of the means cannot do."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl.bindings import crypto_aead_xchacha20poly1305_ietf_decrypt as decrypt
from nacl.bindings import crypto_aead_xchacha20poly1305_ietf_encrypt as encrypt
from nacl.exceptions import CryptoError

from custody_core.domain.addresses import Address, address_to_bytes
from custody_core.domain.wallet import SealedKey
from custody_core.errors import Sealed
from custody_keys import sealed as sealed_module
from custody_keys.key_file import MasterKeys
from custody_keys.sealed import SealedKeys, check_value, matches_check_value
from tests.support.leaks import assert_no_leak
from tests.unit.contracts.keys_contract import (
    OTHER_WALLET,
    WALLET,
    KeysContract,
    RepeatingEntropy,
    SeededEntropy,
    assert_refused,
    payment,
    refused,
    report_of,
)

MASTER_KEY = bytes(range(32))
OTHER_MASTER_KEY = bytes(range(32, 64))


def master_keys(keys: dict[int, bytes] | None = None) -> MasterKeys:
    return MasterKeys(keys or {1: MASTER_KEY})


def sealed_by_hand(private_key: bytes, wallet_id: str, address: Address, *, version: int = 1, key: bytes = MASTER_KEY) -> SealedKey:
    """A row as the format's description says, made without the code under test."""
    nonce = b"\x2a" * 24
    data = b""
    for field in (b"custody/wallet-key/1", wallet_id.encode(), address_to_bytes(address), version.to_bytes(4, "big")):
        data += len(field).to_bytes(4, "big") + field
    return SealedKey(wallet_id, address, version, nonce + encrypt(private_key, data, nonce, key))


class TestSealedKeys(KeysContract):
    def make(self, entropy: SeededEntropy | RepeatingEntropy) -> SealedKeys:
        return SealedKeys(master_keys(), entropy)

    def test_the_seal_is_as_described(self, keys: SealedKeys, entropy: SeededEntropy) -> None:
        (key,) = keys.create([WALLET])
        by_hand = sealed_by_hand(entropy.private_key_of(key.address), WALLET, key.address)
        assert len(key.sealed) == len(by_hand.sealed) == 24 + 32 + 16
        keys.verify(by_hand)
        assert keys.sign(payment(key), by_hand) == keys.sign(payment(key), key)

    def test_opens_after_a_restart(self, keys: SealedKeys) -> None:
        (key,) = keys.create([WALLET])
        again = self.make(SeededEntropy(7))
        assert again.sign(payment(key), key) == keys.sign(payment(key), key)

    def test_k_12_another_master_key_opens_nothing(self, keys: SealedKeys) -> None:
        (key,) = keys.create([WALLET])
        assert_refused(SealedKeys(master_keys({1: OTHER_MASTER_KEY}), SeededEntropy()), key)

    def test_k_04_a_key_sealed_for_an_address_that_is_not_its_own(self, keys: SealedKeys, entropy: SeededEntropy) -> None:
        """Whoever holds the master key and swaps whole keys is still stopped by the derived address."""
        one, two = keys.create([WALLET, OTHER_WALLET])
        assert_refused(keys, sealed_by_hand(entropy.private_key_of(two.address), WALLET, one.address))

    @pytest.mark.parametrize("private_key", [bytes(32), b"\xff" * 32, b"", b"\1" * 31, b"\1" * 33])
    def test_what_is_sealed_must_be_a_private_key(self, keys: SealedKeys, private_key: bytes) -> None:
        (key,) = keys.create([WALLET])
        assert_refused(keys, sealed_by_hand(private_key, WALLET, key.address))

    def test_no_two_rows_share_their_associated_data(self, keys: SealedKeys, entropy: SeededEntropy) -> None:
        """Fields that run together (wallet id and address) would let bytes wander from one to the other."""
        (key,) = keys.create([WALLET])
        private_key = entropy.private_key_of(key.address)
        nonce, key_data = b"\x2a" * 24, WALLET.encode() + address_to_bytes(key.address) + b"\0\0\0\1"
        unprefixed = nonce + encrypt(private_key, b"custody/wallet-key/1" + key_data, nonce, MASTER_KEY)
        assert_refused(keys, attrs.evolve(key, sealed=unprefixed))

    def test_the_newest_version_seals_and_older_ones_still_open(self, entropy: SeededEntropy) -> None:
        (old,) = self.make(entropy).create([WALLET])
        rotated = SealedKeys(master_keys({1: MASTER_KEY, 2: OTHER_MASTER_KEY}), entropy)
        (new,) = rotated.create([OTHER_WALLET])
        assert (old.key_version, new.key_version) == (1, 2)
        rotated.verify(old)
        rotated.verify(new)
        assert_refused(rotated, attrs.evolve(old, key_version=2))
        assert_refused(rotated, attrs.evolve(new, key_version=1))

    def test_nonces_are_never_used_twice(self, keys: SealedKeys) -> None:
        made = keys.create([f"wal_{number}" for number in range(300)])
        assert len({key.sealed[:24] for key in made}) == 300

    def test_without_the_master_key_nothing_is_made_opened_or_signed(self) -> None:
        master = master_keys()
        keys = SealedKeys(master, SeededEntropy())
        (key,) = keys.create([WALLET])
        master.close()
        calls: list[Callable[[], object]] = [
            lambda: keys.create([WALLET]),
            lambda: keys.verify(key),
            lambda: keys.sign(payment(key), key),
        ]
        for call in calls:
            with pytest.raises(Sealed):
                call()

    def test_opened_keys_are_wiped_after_use(
        self, keys: SealedKeys, entropy: SeededEntropy, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        opened: list[bytearray] = []
        unseal = sealed_module._unseal

        def watched(*arguments: object) -> bytearray | None:
            private_key = unseal(*arguments)  # type: ignore[arg-type]
            if private_key is not None:
                opened.append(private_key)
            return private_key

        monkeypatch.setattr(sealed_module, "_unseal", watched)
        one, two = keys.create([WALLET, OTHER_WALLET])
        keys.sign(payment(one), one)
        refused(lambda: keys.verify(sealed_by_hand(entropy.private_key_of(two.address), WALLET, one.address)))
        assert opened == [bytearray(32)] * 4

    def test_k_15_no_report_holds_the_master_key(self, keys: SealedKeys) -> None:
        (key,) = keys.create([WALLET])
        rows = [attrs.evolve(key, sealed=bytes(72)), attrs.evolve(key, sealed=b""), sealed_by_hand(bytes(32), WALLET, key.address)]
        reports = [report_of(refused(lambda row=row: keys.verify(row))) for row in rows]  # type: ignore[misc]
        assert_no_leak(reports, [MASTER_KEY])

    def test_k_15_the_librarys_own_errors_would_hold_it(self) -> None:
        """Why no error from below may pass: a report of this one holds the master key, and the search finds it there."""
        with pytest.raises(CryptoError) as raised:
            decrypt(bytes(48), b"", bytes(24), MASTER_KEY)
        with pytest.raises(AssertionError, match="holds key material"):
            assert_no_leak([report_of(raised.value)], [MASTER_KEY])

    def test_k_15_is_neither_pickled_nor_deeply_copied(self, keys: SealedKeys) -> None:
        for attempt in (pickle.dumps, copy.deepcopy):
            with pytest.raises(TypeError):
                attempt(keys)


class TestCheckValue:
    def test_k_12_tells_the_right_master_key_from_a_wrong_one(self) -> None:
        value = check_value(master_keys())
        assert matches_check_value(master_keys(), value)
        assert not matches_check_value(master_keys({1: OTHER_MASTER_KEY}), value)
        assert not matches_check_value(master_keys({2: MASTER_KEY}), value)

    def test_is_of_the_newest_version_and_survives_a_rotation(self) -> None:
        rotated = master_keys({1: MASTER_KEY, 2: OTHER_MASTER_KEY})
        assert matches_check_value(rotated, check_value(master_keys()))
        assert matches_check_value(rotated, check_value(rotated))
        assert not matches_check_value(master_keys(), check_value(rotated))

    def test_is_different_each_time_and_holds_no_key(self) -> None:
        one, two = check_value(master_keys()), check_value(master_keys())
        assert one != two
        assert_no_leak([one, two], [MASTER_KEY])

    def test_every_byte_counts(self) -> None:
        value = check_value(master_keys())
        for position in range(len(value)):
            changed = bytearray(value)
            changed[position] ^= 1
            assert not matches_check_value(master_keys(), bytes(changed))
            assert not matches_check_value(master_keys(), value[:position])
        assert not matches_check_value(master_keys(), value + b"\0")

    @given(st.binary(max_size=120))
    def test_anything_else_is_no_check_value(self, value: bytes) -> None:
        assert not matches_check_value(master_keys(), value)

    def test_a_sealed_key_is_no_check_value(self) -> None:
        (key,) = SealedKeys(master_keys(), SeededEntropy()).create([WALLET])
        assert not matches_check_value(master_keys(), (1).to_bytes(4, "big") + key.sealed)
