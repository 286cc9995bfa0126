"""What a second node has to show before a large deposit is final.

Rules of this file

1. Two nodes, each asked alone, show the same block at the deposit's height, and in it the same movement of value, successful.
2. What a node shows is compared with the deposit itself. A receipt alone would not do: it tells neither a transaction's value nor
   its recipient, and the node that invented those may quote the hash of a real transaction.
3. A node that does not have the block is late. Only one that shows something else contradicts.
4. What contracts paid, only traces tell: of such a deposit a second node has to offer them.
5. A token's amounts say nothing about what it is worth, so every deposit of a token is large.
"""

from __future__ import annotations

from collections.abc import Sequence

from custody_core.domain.chain import Block, InternalTransfer, Receipt
from custody_core.domain.deposit import Deposit, DepositKey
from custody_core.domain.managed import ManagedAddresses
from custody_core.domain.matching import internal_keys, match_block, native_key, token_keys


def needs_corroboration(deposit: Deposit, *, minimum_wei: int) -> bool:
    """Whether a second node is asked about a deposit."""
    return not deposit.asset.is_native or deposit.key.amount >= minimum_wei


def corroborates(deposit: Deposit, block: Block, receipt: Receipt, internal: Sequence[InternalTransfer] = ()) -> bool:
    """Whether what a node shows at the deposit's height, and of its transaction, is that very deposit. `internal` is what it says
    that contracts paid in the block; only internal deposits need it.
    """
    if block.header.hash != deposit.block.hash or receipt.block_hash != deposit.block.hash or not receipt.succeeded:
        return False
    return deposit.key in _keys(deposit, block, receipt, internal)


def _keys(deposit: Deposit, block: Block, receipt: Receipt, internal: Sequence[InternalTransfer]) -> list[DepositKey]:
    """What the node shows for the deposit's recipient out of its transaction."""
    recipient = ManagedAddresses()
    recipient.add([(1, deposit.key.to)])
    chain_id, matches = deposit.key.chain_id, match_block(block, recipient, internal)
    native = [native_key(chain_id, each) for each in matches.incoming if each.hash == deposit.key.transaction_hash]
    return [*native, *token_keys(chain_id, receipt.logs, recipient), *internal_keys(chain_id, matches.internal)]
