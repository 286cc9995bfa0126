"""Fields of a block's header that this version does not know: the first sign of a fork that it was not made for.

A field more is no reason to stop: the fields that we read keep their meaning. A person should hear of it before the fork does more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

KNOWN: Final = frozenset(
    {
        # the fields of a block in the Ethereum JSON-RPC specification, up to Osaka
        *("number", "hash", "parentHash", "sha3Uncles", "miner", "stateRoot", "transactionsRoot", "receiptsRoot", "logsBloom"),
        *("difficulty", "totalDifficulty", "gasLimit", "gasUsed", "timestamp", "extraData", "mixHash", "nonce", "size"),
        *("transactions", "uncles", "baseFeePerGas", "withdrawals", "withdrawalsRoot", "blobGasUsed", "excessBlobGas"),
        *("parentBeaconBlockRoot", "requestsHash"),
        # what some nodes add
        *("author", "sealFields"),
    }
)

_TOLD_MAX: Final = 32
_SHOWN_MAX: Final = 64


class HeaderFields:
    """Remembers which unknown fields it has told `trouble` of: each once."""

    def __init__(self, chain_id: int, trouble: Callable[[str, str], None]) -> None:
        self._chain_id = chain_id
        self._trouble = trouble
        self.unknown: set[str] = set()

    def look(self, names: Iterable[str], node: str) -> None:
        """Tells of those of `names` that are not known."""
        for name in sorted(KNOWN.union(names) - KNOWN - self.unknown):
            if len(self.unknown) >= _TOLD_MAX:
                return
            self.unknown.add(name)
            shown = name if name.isascii() and name.isalnum() and len(name) <= _SHOWN_MAX else "one with an odd name"
            self._trouble(
                "unknown-header-field",
                f"eip155:{self._chain_id}: {node} shows a field in blocks that this version does not know ({shown}): a fork may be "
                "on; see whether there is a newer version",
            )
