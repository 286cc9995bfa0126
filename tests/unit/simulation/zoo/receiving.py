"""Bugs in what is found in blocks."""

from __future__ import annotations

from typing import Final

from custody_core.domain import corroboration, deposit, matching
from custody_core.services import evidence, following, ingest, tracing
from tests.unit.simulation.zoo.bug import Bug

RECEIVING: Final = (
    Bug(
        "credited at the head",
        following.Follower,
        "_final_ref",
        "tagged.number if tagged else None",
        "cursor.number",
        peer="Safe: events at 0 confirmations",
    ),
    Bug(
        "status ignored",
        ingest,
        "deposit_keys",
        "if evidence.receipts[each.hash].succeeded and ",
        "if ",
        peer="SHKeeper: a failed transaction is credited",
    ),
    Bug(
        "a null receipt is skipped",
        evidence,
        "_receipts_of",
        "receipts if whole else None",
        "receipts",
        peer="SHKeeper: one null look-up, 30 of 30 deposits lost",
    ),
    Bug(
        "equal transfers of one transaction are one",
        matching,
        "internal_keys",
        "ordinal=equals[transfer]",
        "ordinal=0",
        peer="SHKeeper: equal payments of one transaction",
    ),
    Bug(
        "deposits are not taken back",
        ingest.Ingest,
        "take_back",
        "unit.confirming_deposits(chain_id, above=ancestor.number)",
        "()",
        peer="SHKeeper, peatio: credited although reorganised away",
    ),
    Bug("what a second node shows otherwise is not missed", corroboration, "word", "if not is_alike or not", "if not"),
    Bug(
        "headers are not taken back",
        ingest.Ingest,
        "take_back",
        "unit.remove_headers(chain_id, above=ancestor.number)",
        "pass",
        peer="Fystack: blocks are emitted again after a rewind",
    ),
    Bug(
        "blocks are not compared with the cursor",
        following.Follower,
        "_linked",
        "if not links(cursor, block.header):",
        "if False:",
        peer="bitcart, engine TS: no parent hash is compared",
    ),
    Bug(
        "the cursor moves before its blocks are kept",
        following.Follower,
        "_save",
        "return self._kit.write(ingest.run)",
        "self._kit.write(lambda unit: unit.save_chain(ingest._state)); return self._kit.write(ingest.run)",
        peer="Fystack, bitcart: the cursor moves although a block was not kept",
    ),
    Bug(
        "one deposit a transaction",
        ingest,
        "deposit_keys",
        "return [*native, *internal_keys(chain_id, internal), *token_keys(chain_id, evidence.logs, managed)]",
        "keys = [*native, *internal_keys(chain_id, internal), *token_keys(chain_id, evidence.logs, managed)]\n"
        "    return list({key.transaction_hash: key for key in keys}.values())",
        peer="SHKeeper: of three payments in one transaction one is credited",
    ),
    Bug(
        "equal token transfers of one transaction are one",
        matching,
        "token_keys",
        "ordinal=equals[same]",
        "ordinal=0",
        peer="SHKeeper: two equal token transfers, half credited",
    ),
    Bug(
        "movements of nothing are deposits",
        matching,
        "token_keys",
        "transfer.amount == 0 or ",
        "",
        peer="poisoned addresses: transfers of nothing are shown",
    ),
    Bug(
        "a block that is null is passed over",
        following.Follower,
        "_linked",
        "            break\n"
        "        block = answer.value\n"
        "        if not links(cursor, block.header):\n"
        "            return blocks or None\n",
        "            continue\n        block = answer.value\n",
        peer="Safe, bitcart: a null block is logged and skipped",
    ),
    Bug(
        "a trace that fails is passed over",
        tracing.TraceReader,
        "_is_given_up",
        "self._patience.is_over(block.header.hash)",
        "True",
        peer="Fystack: a failed trace is logged, the internal transfer missed",
    ),
    Bug(
        "far behind, it jumps to the head",
        following.Follower,
        "_step",
        "    last = min(",
        "    if tip.number > state.cursor.number + 4:\n"
        "        state = attrs.evolve(state, cursor=self._chain.header(tip.number - 1).value.ref)\n"
        "    last = min(",
        peer="Fystack, bitcart: far behind, the rest is skipped",
    ),
    Bug("every deposit is kept from its owner", deposit, "quarantine_reason", "    return None", '    return "looked at by hand"'),
    Bug("what came short is believed", deposit, "quarantine_reason", "if deposit.reason is not None:", "if False:"),
    Bug("dust is its owner's", deposit, "quarantine_reason", "deposit.key.amount < dust", "False"),
    Bug("a token that is not listed any more is credited", deposit, "quarantine_reason", "if not is_listed:", "if False:"),
    Bug(
        "who is stopped is credited",
        deposit,
        "quarantine_reason",
        "if owner is not None and owner.disabled_at is not None:",
        "if False:",
    ),
    Bug(
        "what is credited is booked as quarantined",
        deposit,
        "_posted",
        "Reason.DEPOSIT_CREDITED: (accounts.external, accounts.available)",
        "Reason.DEPOSIT_CREDITED: (accounts.external, accounts.quarantined)",
    ),
    Bug(
        "what is quarantined is booked as unexplained",
        deposit,
        "_posted",
        "Reason.DEPOSIT_QUARANTINED: (accounts.external, accounts.quarantined)",
        "Reason.DEPOSIT_QUARANTINED: (accounts.external, accounts.suspense)",
    ),
    Bug(
        "what contracts pay is found by reading again only",
        ingest.Ingest,
        "_see_deposits",
        "for key in deposit_keys(self._state.chain_id, each, self._managed)}",
        "for key in deposit_keys(self._state.chain_id, each, self._managed)\n"
        "        if self._is_second_reading or key.kind is not DepositKind.INTERNAL}",
    ),
)
