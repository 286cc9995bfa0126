"""The bug zoo: bugs of one line each, put into the running core by a test only, to see whether the simulator sees them.

A bug is a text of a function and what stands in its place. A text that is not there any more fails loudly, so the zoo moves with
the core.
"""

from __future__ import annotations
import __future__

import inspect
import re
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import attrs
import pytest

from custody_core.domain import corroboration, fees, ledger, lifecycle, matching
from custody_core.services import accepting, evidence, following, ingest, kit, outgoing, replacing, reserving, sending, signing
from custody_memory import tables
from tests.unit.simulation.crash_points import clean_run, crash_points, require_the_same_end
from tests.unit.simulation.failures import Failure
from tests.unit.simulation.script import FOLDER, read
from tests.unit.simulation.shrinking import replay
from tests.unit.simulation.story import Story

_FACTS: Final = "__import__('custody_core.domain.facts', fromlist=['facts'])"


@attrs.frozen
class Bug:
    """In `owner`'s function `name` the text `right` becomes `wrong`."""

    what: str
    owner: Any
    name: str
    right: str
    wrong: str
    flow: str | None = None
    """The workflow whose crash points see it; else stories do."""


ZOO: Final = (
    Bug("credited at the head", following.Follower, "_final_ref", "tagged.number if tagged else None", "cursor.number"),
    Bug("status ignored", ingest, "deposit_keys", "if evidence.receipts[each.hash].succeeded and ", "if "),
    Bug("a null receipt is skipped", evidence, "_receipts_of", "receipts if whole else None", "receipts"),
    Bug("equal transfers of one transaction are one", matching, "internal_keys", "ordinal=equals[transfer]", "ordinal=0"),
    Bug(
        "deposits are not taken back", ingest.Ingest, "take_back", "unit.confirming_deposits(chain_id, above=ancestor.number)", "()"
    ),
    Bug(
        "sends are not taken back",
        ingest.Ingest,
        "take_back",
        "unit.confirming_transactions(chain_id, above=ancestor.number)",
        "()",
    ),
    Bug("what a second node shows otherwise is not missed", corroboration, "word", "if not is_alike or not", "if not"),
    Bug("headers are not taken back", ingest.Ingest, "take_back", "unit.remove_headers(chain_id, above=ancestor.number)", "pass"),
    Bug(
        "blocks are not compared with the cursor", following.Follower, "_linked", "if not links(cursor, block.header):", "if False:"
    ),
    Bug(
        "the nonce is the node's",
        reserving._Reservation,
        "_reserve",
        "nonce, self._lines[sender] = reserve(self._lines[sender])",
        "nonce, self._lines[sender] = self._outside.known_nonces[sender], reserve(self._lines[sender])[1]",
    ),
    Bug(
        "one fee field is raised",
        fees,
        "replacement_fees",
        "tip = max(floor_tip, wanted.max_priority_fee_per_gas_wei)",
        "tip = wanted.max_priority_fee_per_gas_wei",
    ),
    Bug(
        "a replacement costs 9 % more",
        fees,
        "_raised",
        "-(-fee_wei * REPLACEMENT_NUMERATOR // REPLACEMENT_DENOMINATOR)",
        "-(-fee_wei * 109 // 100)",
    ),
    Bug("gas is not held", lifecycle, "accept", "transaction.fee_hold_wei)", "0)"),
    Bug("what gas has cost is not booked", lifecycle, "_settled", "fee = inclusion.fee_wei if inclusion else 0", "fee = 0"),
    Bug("the amount of a failed send is gone", lifecycle, "_settled", "if transaction.state is State.COMPLETED else 0", ""),
    Bug(
        "a key is not kept with its answer",
        accepting.Desk,
        "write",
        "self._unit.add_idempotency([record for each in self._new for record in each.records])",
        "pass",
    ),
    Bug(
        "a change has no audit row",
        kit,
        "record_changes",
        "unit.add_audit([_transaction_audit(kit, change, actor, now) for change in changes])",
        "pass",
    ),
    Bug(
        "a row's version is not compared",
        tables.VersionedTable,
        "save",
        "if stored is None or stored.version != value.version - 1:",
        "if stored is None:",
    ),
    Bug("an amount is a float once", ledger, "moves", "net[target] += amount", "net[target] += float(amount)"),
    Bug(
        "a refusal ends a send",
        sending.Sender,
        "_sent",
        "change = decide(transaction, AttemptSent(attempt_id), now)",
        f"change = decide(transaction, {_FACTS}.NonceTakenForGood('0x') if transaction.parked_reason is None and capped is None "
        "and len(transaction.attempts) > 1 else AttemptSent(attempt_id), now)",
    ),
    Bug(
        "bytes leave before they are kept",
        signing,
        "sign_planned",
        "    return save_step(",
        "    kit.chains[planned[0].chain_id].broadcast([each[1].raw for each in signed.values() if isinstance(each, tuple)])\n"
        "    return save_step(",
    ),
    Bug(
        "the first attempt is signed again after a crash",
        lifecycle,
        "next_act",
        "case State.PENDING_SIGNATURE, _:\n            return Act.SIGN",
        "case State.PENDING_SIGNATURE, _:\n            return Act.RESERVE",
    ),
    Bug(
        "the cursor moves before its blocks are kept",
        following.Follower,
        "_save",
        "return self._kit.write(ingest.run)",
        "self._kit.write(lambda unit: unit.save_chain(ingest._state)); return self._kit.write(ingest.run)",
    ),
    Bug(
        "what was paid for is not looked at",
        accepting.Desk,
        "_look",
        "require_funds(request.amount",
        "(lambda *_: None)(request.amount",
    ),
    Bug("an attempt is sent and never again", lifecycle, "_sent", "due_at=now + RESEND_AFTER", "due_at=None"),
    Bug(
        "a send is not found again after a reorganisation",
        outgoing,
        "_seen",
        "attempt = transaction.attempt_by_hash(receipt.transaction_hash)",
        "attempt = transaction.attempts[0]",
    ),
    Bug(
        "a replacement is another payment",
        replacing,
        "_kind",
        "AttemptKind.CANCELLATION if",
        "AttemptKind.PAYMENT if",
        flow="cancel_after_nonce",
    ),
)


@contextmanager
def planted(bug: Bug) -> Iterator[None]:
    """The core with that bug, until the end of the block."""
    right = getattr(bug.owner, bug.name)
    source = textwrap.dedent(inspect.getsource(right))
    if source.count(bug.right) != 1:
        raise ValueError(f"the core has changed: {bug.name} holds {bug.right!r} {source.count(bug.right)} times")
    code = compile(source.replace(bug.right, bug.wrong), "zoo", "exec", __future__.annotations.compiler_flag, dont_inherit=True)
    made: dict[str, Any] = {}
    exec(code, right.__globals__, made)  # noqa: S102  the text is the core's own
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bug.owner, bug.name, made[bug.name])
        for module in [each for name, each in sys.modules.items() if name.startswith("custody_")]:
            if getattr(module, bug.name, None) is right:
                patch.setattr(module, bug.name, made[bug.name])
        yield


def seen(bug: Bug, *, seeds: range, steps: int) -> str | None:
    """How the simulator sees it, or None: by its trace, else, where the core has moved on, by the stories of `seeds`."""
    with planted(bug):
        if bug.flow is not None:
            return crash_fails(bug.flow)
        return trace_fails(bug) or next((why for seed in seeds if (why := story_fails(seed, steps))), None)


def trace_of(bug: Bug) -> Path:
    """The file of the few decisions by which it was seen."""
    return FOLDER / (re.sub(r"\W+", "-", bug.what.replace("'", "")) + ".json")


def trace_fails(bug: Bug) -> str | None:
    """How the story of its trace fails, or None."""
    path = trace_of(bug)
    failure = replay(read(path).script)[1] if path.exists() else None
    return None if failure is None else f"{path.stem}: {failure.kind}: {failure}"


def story_fails(seed: int, steps: int) -> str | None:
    """How the story of that seed fails, or None."""
    story = Story(seed, steps=steps)
    try:
        story.tell()
    except Failure as failure:
        return f"seed {seed}, step {story.scheduler.steps}: {failure.kind}: {failure}"
    return None


def crash_fails(workflow: str) -> str | None:
    """How a crash point of that workflow fails, or None."""
    try:
        calls, expected = clean_run(workflow)
        for point in crash_points(workflow, calls):
            require_the_same_end(point, expected)
    except Failure as failure:
        return f"{failure.kind}: {failure}"
    return None
