"""Workflows of an operator who has blocks read again: too early, of a node that cannot or does not say, and of blocks that change.

Each time it is refused and nothing changes; asked again when the trouble is over, it is done.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import attrs
import pytest

from custody_core import TransactionState
from custody_core.domain.addresses import address_from_bytes, address_to_bytes
from custody_core.domain.chain import Hash, Receipt
from custody_core.errors import ChainHalted, Conflict, InvalidStateTransition, NodeUnavailable, NotFound
from custody_core.ports import SignedBytes
from custody_memory.chain import MemoryChain
from custody_memory.world import OUTSIDER
from tests.unit.simulation.gate import OpenGate
from tests.unit.simulation.operators import resume
from tests.unit.simulation.props import FRIEND, with_one_changed
from tests.unit.simulation.rehearsal import FINALITY_LAG, LIMITS, Rehearsal, Stage
from tests.unit.simulation.rescans import is_refused, read_again
from tests.unit.simulation.site import CHAIN_ID
from tests.unit.simulation.virtual_time import MICROSECONDS

ANOTHER_CHAIN: Final = 2
ALL: Final = 10**6
LEASE_MAX_S: Final = 300

STAGES: Final[Mapping[str, Stage]] = {
    "read_again_with_one_node_behind": Stage(views=2, limits=attrs.evolve(LIMITS, cross_check_min_wei=0)),
}


def read_again_by_two(on: Rehearsal) -> None:
    """Somebody died while reading blocks again. Whoever asks next has to wait until their lease has ended."""
    on.fund()
    on.dies("blocks", lambda custody: custody.scans.rescan(1, on.tree.final))
    on.arm()
    is_refused(on, InvalidStateTransition, "read again already", 1)
    on.time.us += LEASE_MAX_S * MICROSECONDS
    read_again(on, 1, on.tree.final)


def blocks_that_were_not_followed(on: Rehearsal) -> None:
    """Before the first that was, above the last, and on a chain that was configured a moment ago."""
    on.fund()
    on.arm()
    is_refused(on, NotFound, "was followed from", 0)
    is_refused(on, NotFound, "was followed from", 1, ALL)
    with pytest.raises(NotFound, match="is not followed"):
        on.service_for(MemoryChain(ANOTHER_CHAIN)).scans.rescan(1, chain_id=ANOTHER_CHAIN)
    read_again(on, 1)


def read_again_while_it_is_halted(on: Rehearsal) -> None:
    """Nobody knows what is final: what is found would be credited on a guess."""
    on.fund()
    on.blocks(FINALITY_LAG + 1)
    on.arm()
    on.tree.breach(FINALITY_LAG + 1)
    on.until(on.is_halted)
    is_refused(on, ChainHalted, "", 1)
    on.tree.return_to(on.tree.pasts[0])
    on.ask(resume)
    read_again(on, 1)


def halted_while_it_is_read_again(on: Rehearsal) -> None:
    """What was read before is not taken in."""
    on.fund()
    on.blocks(FINALITY_LAG + 1)

    def say(receipt: Receipt) -> Receipt:
        on.views[0].says_of_receipt = None
        on.tree.breach(FINALITY_LAG + 1)
        _others(on)
        return receipt

    on.views[0].says_of_receipt = say
    on.arm()
    is_refused(on, ChainHalted, "", 1)
    on.tree.return_to(on.tree.pasts[0])
    on.ask(resume)
    read_again(on, 1)


def another_block_is_shown(on: Rehearsal) -> None:
    """The node is on another branch than the one that was followed."""
    on.fund()
    on.views[0].says_of_block = lambda block: attrs.evolve(block, header=attrs.evolve(block.header, hash=Hash("0x" + "ab" * 32)))
    on.arm()
    is_refused(on, InvalidStateTransition, "another block", 1)
    on.views[0].says_of_block = None
    read_again(on, 1)


def addresses_born_each_time(on: Rehearsal) -> None:
    """Whenever blocks were read, a wallet was made, which may have been paid in them."""
    on.fund()

    def say(receipt: Receipt) -> Receipt:
        pool = len(on.store.tables.wallets.rows) + 1
        on._parts.custody(OpenGate(), limits=attrs.evolve(on.stage.limits, key_pool_size=pool)).make_ready()
        return receipt

    on.arm()
    on.views[0].says_of_receipt = say
    is_refused(on, Conflict, "changed each time", 1)
    on.views[0].says_of_receipt = None
    read_again(on, 1)


def bytes_that_are_not_shown(on: Rehearsal) -> None:
    """Somebody else used the key, and the node does not say what was signed."""
    on.fund()
    on.signed_elsewhere(FRIEND, 10**16)
    on.tree.mine()
    at = on.tree.head.number
    on.adopt()
    on.views[0].shows_bytes = False
    on.arm()
    is_refused(on, NodeUnavailable, "does not show what was sent", at)
    on.views[0].shows_bytes = True
    read_again(on, at)


def said_to_be_ours_when_read_again(on: Rehearsal) -> None:
    """The node names a managed address as the sender of what somebody else signed."""
    on.fund()
    hash_ = on.tree.send_ether(FRIEND, 5)
    on.tree._signed[hash_] = SignedBytes(b"", address_from_bytes(OUTSIDER))
    on.blocks(FINALITY_LAG + 1)
    own = address_to_bytes(on.wallet.address)

    on.views[0].says_of_block = lambda block: with_one_changed(block, hash_, sender=own)
    on.arm()
    is_refused(on, NodeUnavailable, "what cannot be", on.tree.head.number - FINALITY_LAG)
    on.views[0].says_of_block = None
    read_again(on, on.tree.head.number - FINALITY_LAG)


def read_again_with_one_node_behind(on: Rehearsal) -> None:
    """Two nodes have to agree about what is found in a token that was listed late, and one does not show the block any more."""
    other = on.tree.deploy_token()
    on.tree.send_token(other, on.wallet.address, 33)
    on.blocks(FINALITY_LAG + 1)
    on.counts(other)
    on.custody.tokens.add(chain_id=CHAIN_ID, address=other, alias="late", decimals=6)
    on.views[1].late_by = len(on.tree.tips)
    on.arm()
    is_refused(on, NodeUnavailable, "two nodes have to agree", 1)
    on.views[1].late_by = 0
    read_again(on, 1)


def unreadable_at_its_nonce(on: Rehearsal) -> None:
    """What the chain holds at a send's nonce is nothing that can be read: it is no attempt of that send."""
    on.fund()
    sent = on.send()
    on.until(lambda: bool(on.tree.pool))
    on.tree.drop(on.tree.pool[0])
    hash_ = on.signed_elsewhere(FRIEND, 10**16)
    on.tree._signed[hash_] = SignedBytes(b"\x02", on.wallet.address)
    on.tree.mine()
    on.arm()
    on.adopt()
    assert on.transaction(sent).state is TransactionState.FAILED


def _others(on: Rehearsal) -> None:
    """Another process leads, until it halts."""
    on.time.us += 60 * MICROSECONDS
    other = on._parts.custody(OpenGate(), limits=on.stage.limits)
    while not on.is_halted():
        other._followers[CHAIN_ID].round()
