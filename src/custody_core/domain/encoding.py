"""Ethereum's byte formats: Keccak-256, RLP, EIP-1559 transactions, EIP-191 and EIP-55, ERC-20 calldata, revert data.

Rules of this file

1. It is the only file of the core that may import codec libraries. It makes the bytes that are signed and takes
   signatures apart; it never sees a key.
2. One value has one encoding. What is written is canonical, and what is read is refused unless writing it again gives
   the same bytes: shortest lengths and integers, nothing after the end, low s (EIP-2), y_parity of 0 or 1.
3. Only type 2 (EIP-1559) exists here. The chain id is signed and at least 1, so that a transaction for one chain is
   void on every other (EIP-155). A transaction without a recipient (contract creation) cannot be said.
4. Bytes that others chose (calldata, logs) are read strictly: None means "not of this form", never "harmless".
5. This is the signing path: hence the table of single bytes, and a transaction checked and encoded once, when made.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeAlias, cast

import attrs
from sha3 import keccak_256

U64_MAX: Final = 2**64 - 1
U256_MAX: Final = 2**256 - 1

SECP256K1_ORDER: Final = 0xFFFFFFFF_FFFFFFFF_FFFFFFFF_FFFFFFFE_BAAEDCE6_AF48A03B_BFD25E8C_D0364141  # n of SEC 2, 2.4.1
LOW_S_MAX: Final = SECP256K1_ORDER // 2  # a larger s is malleable (EIP-2)

ERC20_TRANSFER_SELECTOR: Final = bytes.fromhex("a9059cbb")  # transfer(address,uint256)
ERC20_BALANCE_OF_SELECTOR: Final = bytes.fromhex("70a08231")  # balanceOf(address)
ERC20_DECIMALS_SELECTOR: Final = bytes.fromhex("313ce567")  # decimals()
# Transfer(address,address,uint256); ERC-721 has the same first topic, and a fourth.
ERC20_TRANSFER_TOPIC: Final = bytes.fromhex("ddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef")

ERROR_SELECTOR: Final = bytes.fromhex("08c379a0")  # Error(string)
PANIC_SELECTOR: Final = bytes.fromhex("4e487b71")  # Panic(uint256)
REVERT_REASON_LENGTH_MAX: Final = 256  # characters kept; a stranger's text that ends in rows, logs and pages

_DEPTH_MAX: Final = 16  # a type 2 transaction is 4 deep: transaction, access list, entry, storage keys
_BYTES: Final = tuple(bytes((value,)) for value in range(256))
_PANICS: Final = {  # Solidity documentation, "Panic via assert and Error via require"
    0x01: "assertion failed",
    0x11: "arithmetic overflow or underflow",
    0x12: "division or modulo by zero",
    0x21: "value outside its enum",
    0x31: "pop from an empty array",
    0x32: "array index out of bounds",
    0x41: "out of memory",
}

RlpValue: TypeAlias = "bytes | int | Sequence[RlpValue]"
RlpItem: TypeAlias = "bytes | tuple[RlpItem, ...]"
AccessList: TypeAlias = tuple[tuple[bytes, tuple[bytes, ...]], ...]
"""Addresses (20 bytes), each with its storage keys (32 bytes each) (EIP-2930)."""


class MalformedTransaction(ValueError):
    """This is not a canonical EIP-1559 transaction, or not canonical RLP at all."""


class MalformedSignature(ValueError):
    """y_parity, r or s is outside what Ethereum accepts (EIP-2, EIP-2718)."""


def keccak256(data: bytes | bytearray) -> bytes:
    """The 32-byte Keccak-256 of Ethereum, whose padding is older than FIPS 202: not `hashlib.sha3_256`."""
    return bytes(keccak_256(data).digest())


# RLP (Ethereum Yellow Paper, appendix B)
def _header(offset: int, length: int) -> bytes:
    if length < 56:
        return _BYTES[offset + length]
    size = (length.bit_length() + 7) >> 3
    return _BYTES[offset + 55 + size] + length.to_bytes(size, "big")


def _integer(value: int) -> bytes:
    if value < 0x80:
        return _BYTES[value or 0x80]
    size = (value.bit_length() + 7) >> 3
    return _BYTES[0x80 + size] + value.to_bytes(size, "big")


def _string(data: bytes) -> bytes:
    return data if len(data) == 1 and data[0] < 0x80 else _header(0x80, len(data)) + data


def rlp_encode(item: RlpValue) -> bytes:
    """RLP of bytes, of an integer below 2^256 or of a list or tuple of such. Raises `MalformedTransaction`."""
    match item:
        case bytes():
            return _string(item)
        case int() if type(item) is int and 0 <= item <= U256_MAX:
            return _integer(item)
        case list() | tuple():
            body = b"".join([rlp_encode(element) for element in item])
            return _header(0xC0, len(body)) + body
        case _:
            raise MalformedTransaction(f"this {type(item).__name__} has no RLP")


def rlp_decode(data: bytes) -> RlpItem:
    """The one item that fills `data`: bytes, or nested tuples of bytes. Raises `MalformedTransaction`."""
    if not data:
        raise MalformedTransaction("RLP is never empty")
    item, end = _decode_item(data, 0, len(data), _DEPTH_MAX)
    if end != len(data):
        raise MalformedTransaction("bytes follow the RLP item")
    return item


def _decode_item(data: bytes, start: int, limit: int, depth: int) -> tuple[RlpItem, int]:
    """The item at `start`, which lies before `limit`, and its end, which does not lie behind it."""
    first = data[start]
    if first < 0x80:
        return data[start : start + 1], start + 1
    is_list = first >= 0xC0
    body, end = _bounds(data, start, limit, first - (0xC0 if is_list else 0x80))
    if not is_list:
        if end - body == 1 and data[body] < 0x80:
            raise MalformedTransaction("RLP has a header on a byte that stands for itself")
        return data[body:end], end
    if depth == 0:
        raise MalformedTransaction("RLP is nested too deeply")
    items: list[RlpItem] = []
    while body < end:
        item, body = _decode_item(data, body, end, depth - 1)
        items.append(item)
    return tuple(items), end


def _bounds(data: bytes, start: int, limit: int, code: int) -> tuple[int, int]:
    """Where the body begins and ends. `code` is its length up to 55, or else 55 + the number of bytes of its length."""
    body, length = start + 1, code
    if code > 55:
        body += code - 55
        written = data[start + 1 : body]
        length = int.from_bytes(written, "big")
        if length < 56 or written[0] == 0:
            raise MalformedTransaction("RLP length is not in its shortest form")
    if body + length > limit:
        raise MalformedTransaction("RLP ends early")
    return body, body + length


# Transactions (EIP-1559)
_RANGES: Final = (
    ("chain_id", 1, U64_MAX),
    ("nonce", 0, U64_MAX - 1),  # EIP-2681
    ("max_priority_fee_per_gas", 0, U256_MAX),
    ("max_fee_per_gas", 0, U256_MAX),
    ("gas_limit", 0, U64_MAX),
    ("value", 0, U256_MAX),
)


@attrs.frozen
class FeeMarketTransaction:
    """An unsigned EIP-1559 transaction: amounts in wei, `to` 20 bytes. Raises `MalformedTransaction`."""

    chain_id: int
    nonce: int
    max_priority_fee_per_gas: int
    max_fee_per_gas: int
    gas_limit: int
    to: bytes
    value: int
    data: bytes = b""
    access_list: AccessList = ()
    encoded_fields: bytes = attrs.field(init=False, eq=False, repr=False)

    def __attrs_post_init__(self) -> None:
        for name, low, high in _RANGES:
            number = getattr(self, name)
            if type(number) is not int or not low <= number <= high:  # bool is an int, and no amount
                raise MalformedTransaction(f"{name} must be an integer from {low} to {high}")
        if self.max_priority_fee_per_gas > self.max_fee_per_gas:
            raise MalformedTransaction("max_priority_fee_per_gas exceeds max_fee_per_gas")
        if not _is_bytes(self.to, 20) or type(self.data) is not bytes:
            raise MalformedTransaction("to must be 20 bytes, data any bytes")
        if self.access_list != () and not _is_access_list(self.access_list):
            raise MalformedTransaction("access_list must be a tuple of (20 bytes, tuple of 32 bytes)")
        numbers = (self.chain_id, self.nonce, self.max_priority_fee_per_gas, self.max_fee_per_gas, self.gas_limit)
        call = b"\x94" + self.to + _integer(self.value) + _string(self.data)
        access_list = rlp_encode(self.access_list) if self.access_list else b"\xc0"
        object.__setattr__(self, "encoded_fields", b"".join(map(_integer, numbers)) + call + access_list)


def _is_bytes(item: object, length: int) -> bool:
    return type(item) is bytes and len(item) == length


def _is_access_list(item: object) -> bool:
    entries = item if type(item) is tuple else (None,)
    shaped = all(type(entry) is tuple and len(entry) == 2 and type(entry[1]) is tuple for entry in entries)
    return shaped and all(_is_bytes(to, 20) and all(_is_bytes(key, 32) for key in keys) for to, keys in entries)


def signing_payload(tx: FeeMarketTransaction) -> bytes:
    """The bytes whose Keccak-256 is signed: 0x02 || rlp(the nine fields) (EIP-1559)."""
    body = tx.encoded_fields
    return b"\x02" + _header(0xC0, len(body)) + body


def signing_hash(tx: FeeMarketTransaction) -> bytes:
    return keccak256(signing_payload(tx))


def require_canonical_signature(y_parity: int, r: int, s: int) -> None:
    """Raises `MalformedSignature` unless y_parity is 0 or 1, r is in 1..n-1 and s in 1..n/2 (EIP-2)."""
    if type(y_parity) is not int or y_parity not in (0, 1):
        raise MalformedSignature("y_parity must be 0 or 1")
    if not 0 < r < SECP256K1_ORDER or not 0 < s <= LOW_S_MAX:
        raise MalformedSignature("r must be from 1 to below the group order, s from 1 to half of it")


def serialize_signed(tx: FeeMarketTransaction, y_parity: int, r: int, s: int) -> bytes:
    """The raw transaction, as a node takes it. Raises `MalformedSignature`."""
    require_canonical_signature(y_parity, r, s)
    body = tx.encoded_fields + _integer(y_parity) + _integer(r) + _integer(s)
    return b"\x02" + _header(0xC0, len(body)) + body


def transaction_hash(raw: bytes) -> bytes:
    """The hash by which the chain knows a raw signed transaction."""
    return keccak256(raw)


def decode_signed(raw: bytes) -> tuple[FeeMarketTransaction, int, int, int]:
    """Transaction, y_parity, r and s, of which `serialize_signed` makes `raw` again. Whose they are must be recovered.

    Raises `MalformedTransaction` (also for another type or a byte that is not canonical) or `MalformedSignature`.
    """
    fields = rlp_decode(raw[1:]) if raw[:1] == b"\x02" else b""
    if not isinstance(fields, tuple) or len(fields) != 12:
        raise MalformedTransaction("this is not a signed EIP-1559 transaction")
    chain_id, nonce, priority_fee, fee, gas_limit, value = map(_to_integer, (*fields[:5], fields[6]))
    to, data, access_list = cast("tuple[bytes, bytes, AccessList]", (fields[5], fields[7], fields[8]))  # checked next
    tx = FeeMarketTransaction(chain_id, nonce, priority_fee, fee, gas_limit, to, value, data, access_list)
    y_parity, r, s = map(_to_integer, fields[9:])
    require_canonical_signature(y_parity, r, s)
    return tx, y_parity, r, s


def _to_integer(item: RlpItem) -> int:
    if not isinstance(item, bytes) or item[:1] == b"\0":
        raise MalformedTransaction("an integer is a list or has leading zeros")
    return int.from_bytes(item, "big")


def personal_message_hash(message: bytes) -> bytes:
    """The hash that is signed for a message (EIP-191, version 0x45 `personal_sign`)."""
    return keccak256(b"\x19Ethereum Signed Message:\n%d%b" % (len(message), message))


def checksum_address_text(address: bytes) -> str:
    """`0x` and 40 digits in EIP-55 case, of 20 bytes."""
    digits = address.hex()
    hashed = keccak256(digits.encode()).hex()
    return "0x" + "".join([d.upper() if h > "7" else d for d, h in zip(digits, hashed, strict=False)])


def erc20_transfer_calldata(to: bytes, amount: int) -> bytes:
    """Calldata of transfer(to, amount) (EIP-20): 20 bytes and base units. Raises `MalformedTransaction`."""
    if len(to) != 20 or not 0 <= amount <= U256_MAX:
        raise MalformedTransaction("a transfer needs 20 bytes and an amount below 2^256")
    return ERC20_TRANSFER_SELECTOR + bytes(12) + to + amount.to_bytes(32, "big")


def decode_erc20_transfer(data: bytes) -> tuple[bytes, int] | None:
    """Recipient and amount, only of the very bytes that `erc20_transfer_calldata` makes.

    Contracts differ on longer, shorter or unclean calldata, so None means an unknown call: one to deny.
    """
    to = decode_address_word(data[4:36])
    if to is None or len(data) != 68 or data[:4] != ERC20_TRANSFER_SELECTOR:
        return None
    return to, int.from_bytes(data[36:], "big")


def returns_false(data: bytes) -> bool:
    """Whether an EIP-20 `transfer` said no by what it returned. One that returns nothing at all says nothing by that."""
    return len(data) >= 32 and not any(data[:32])


def decode_address_word(word: bytes) -> bytes | None:
    """The 20 bytes in an ABI word or log topic; None unless it is 32 bytes whose first 12 are zero."""
    return word[12:] if len(word) == 32 and word.startswith(bytes(12)) else None


def decode_revert_reason(data: bytes) -> str | None:
    """What Error(string) or Panic(uint256) says, cut to 256 printable characters; None if it is neither."""
    arguments = data[4:]
    if data[:4] == PANIC_SELECTOR and len(arguments) == 32:
        code = int.from_bytes(arguments, "big")
        return f"panic {code:#04x}: {_PANICS[code]}" if code in _PANICS else "panic with an unknown code"
    length = int.from_bytes(arguments[32:64], "big")
    if data[:4] != ERROR_SELECTOR or int.from_bytes(arguments[:32], "big") != 32 or 64 + length > len(arguments):
        return None
    text = arguments[64 : 64 + min(length, 4 * REVERT_REASON_LENGTH_MAX)].decode(errors="replace")
    return "".join(filter(str.isprintable, text))[:REVERT_REASON_LENGTH_MAX]
