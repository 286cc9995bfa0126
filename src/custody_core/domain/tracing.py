"""Which calls within a transaction have moved ether.

Rules of this file

1. A node's trace of a transaction is its calls in the order in which they began, each with its depth. The first one, at depth 0, is
   the transaction itself: its value is the transaction's own and no internal transfer.
2. Only a plain call moves value to the address that it calls. `DELEGATECALL` and `CALLCODE` run foreign code on the caller's own
   account, and show a value that stays where it is; `STATICCALL` has none. What a creation is given goes to a fresh contract, whose
   address nobody has a key of.
3. A call that failed takes back everything below it, and those calls need not show an error of their own.
4. What a contract leaves by destroying itself is no internal transfer. It is forced upon the address: no call is made that could
   fail, and what nodes show of it differs, more so since EIP-6780, by which most such contracts live on. The books find it by
   comparing themselves with the chain, and a person says whose it is.
"""

from __future__ import annotations

from collections.abc import Iterable

import attrs

from custody_core.domain.chain import InternalTransfer


@attrs.frozen
class TracedCall:
    """One call of a transaction. `transfer` is what it moves where nothing fails, None where its kind moves nothing, or it has no
    value.
    """

    depth: int
    failed: bool
    transfer: InternalTransfer | None


def surviving_transfers(calls: Iterable[TracedCall]) -> list[InternalTransfer]:
    """The transfers of one transaction that no failure took back, in their order. `calls` are in the order of rule 1."""
    survived: list[InternalTransfer] = []
    failed_depth: int | None = None
    for call in calls:
        if failed_depth is not None and call.depth > failed_depth:
            continue
        failed_depth = call.depth if call.failed else None
        if call.transfer is not None and not call.failed and call.depth > 0:
            survived.append(call.transfer)
    return survived
