"""S-18: the scanner is killed before and after each call that leaves it while a send is on its way, and another one takes over.

A call is a question to the node, or the COMMIT of a unit of work. `before`: the process dies when the call is on the wire, and
nobody hears of it. `after`: it has taken effect, and the process dies before it knows. All points are run by `make test-kills`,
those where most can go wrong by `make test` as well.
"""

import re
from collections.abc import Sequence
from enum import StrEnum
from typing import Any

import attrs
import pytest

from tests.support.faultproxy import FaultProxy
from tests.support.faults import After, Before, Delay, DropRequest, ForwardThenDropReply
from tests.support.pgproxy import Fault, PgProxy, Unit
from tests.support.sites import KILLED, TOKEN, Site
from tests.support.waiting import until

SENDING_S = 0.2
"""How long the node takes over a payment, so that other jobs have their turn meanwhile."""


class Mode(StrEnum):
    BEFORE = "before"
    AFTER = "after"


class Phase(StrEnum):
    """How far the send is, as the node can tell by what it was asked."""

    QUEUED = "queued"
    SENT = "sent"
    """From `eth_sendRawTransaction` on."""
    SEEN = "seen"
    """From the question for the receipt on."""


@attrs.frozen(order=True)
class Question:
    """What the node is asked, and when."""

    about: str
    phase: Phase

    @property
    def method(self) -> str:
        return self.about if "_" in self.about else "eth_getBlockByNumber"

    def __str__(self) -> str:
        return f"{self.about}-while-{self.phase}"


SEND_RAW = Question("eth_sendRawTransaction", Phase.SENT)
RECEIPT = Question("eth_getTransactionReceipt", Phase.SEEN)
LOGS = Question("eth_getLogs", Phase.SEEN)
BLOCK_RECEIPTS = Question("eth_getBlockReceipts", Phase.SEEN)
FEES = Question("eth_feeHistory", Phase.QUEUED)

OF_ETHER = frozenset(
    {
        Question("eth_chainId", Phase.QUEUED),
        Question("latest-header", Phase.QUEUED),
        Question("finalized-header", Phase.QUEUED),
        Question("eth_syncing", Phase.QUEUED),
        Question("eth_getTransactionCount", Phase.QUEUED),
        FEES,
        SEND_RAW,
        Question("latest-header", Phase.SENT),
        Question("finalized-header", Phase.SENT),
        Question("block", Phase.SENT),
        Question("trace_block", Phase.SENT),
        RECEIPT,
        Question("latest-header", Phase.SEEN),
        Question("finalized-header", Phase.SEEN),
        Question("block", Phase.SEEN),
        LOGS,
        BLOCK_RECEIPTS,
    }
)
"""A block without any log has a bloom of zeros, which is no proof that it has none: logs and receipts are asked for."""

OF_A_TOKEN = OF_ETHER - {BLOCK_RECEIPTS}

TOKEN_KILLS = (SEND_RAW, RECEIPT, LOGS)
"""Where a token's send is killed too: elsewhere it differs from ether's by nothing but its bytes."""

MOST_TELLING = {
    ("eth", SEND_RAW, Mode.BEFORE),
    ("eth", SEND_RAW, Mode.AFTER),
    ("eth", RECEIPT, Mode.AFTER),
    (TOKEN, LOGS, Mode.BEFORE),
}


def kills(*point: object, always: bool, name: str | None = None) -> Any:
    """The parameters of a point; `always`: `make test` has it, too."""
    return pytest.param(*point, id=name or "-".join(map(str, point)), marks=() if always else pytest.mark.kills)


QUESTION_KILLS = [
    kills(asset, question, mode, always=(asset, question, mode) in MOST_TELLING)
    for asset, questions in (("eth", sorted(OF_ETHER)), (TOKEN, TOKEN_KILLS))
    for question in questions
    for mode in Mode
]


def question_of(asked: Sequence[tuple[str, list[Any]]]) -> Question:
    """The last of these calls, in the phase that the calls before it brought about."""
    methods = {method for method, _ in asked}
    phase = Phase.SEEN if RECEIPT.method in methods else Phase.SENT if SEND_RAW.method in methods else Phase.QUEUED
    method, params = asked[-1]
    if method != "eth_getBlockByNumber":
        return Question(method, phase)
    return Question(f"{params[0]}-header" if params[0] in {"latest", "finalized"} else "block", phase)


OF_THE_COMPARISON = frozenset({"eth_getBalance", "eth_call"})
"""What is asked, at any time, to compare the books with the chain."""


def questions_of(proxy: FaultProxy) -> set[Question]:
    asked = [each for each in proxy.arrivals() if each[0] not in OF_THE_COMPARISON]
    return {question_of(asked[: number + 1]) for number in range(len(asked))}


@pytest.mark.parametrize(
    ("asset", "questions"), [kills("eth", OF_ETHER, always=True, name="eth"), kills(TOKEN, OF_A_TOKEN, always=False, name=TOKEN)]
)
def test_s_18_these_are_all_the_questions_that_a_send_asks(site: Site, asset: str, questions: frozenset[Question]) -> None:
    site.proxy.on(SEND_RAW.method, Delay(SENDING_S))
    ids = [site.send(site.wallets[0], asset=asset)]
    scanner = site.processes.fork("scanner")
    assert site.carried(ids, by=[scanner])
    assert scanner.stop() == 0
    assert questions_of(site.proxy) == questions


@pytest.mark.parametrize(("asset", "question", "mode"), QUESTION_KILLS)
def test_s_18_killed_at_any_question_a_send_is_paid_once(site: Site, asset: str, question: Question, mode: Mode) -> None:
    def kill() -> None:
        site.processes.newest().kill()

    faults = (Before(kill), DropRequest()) if mode is Mode.BEFORE else (After(kill), ForwardThenDropReply())
    site.proxy.on(question.method, *faults, times=1, when=lambda _: question_of(site.proxy.arrivals()) == question)
    site.proxy.on(SEND_RAW.method, Delay(SENDING_S))
    assert_a_killed_send_is_paid_once(site, asset)


class Commit(StrEnum):
    """What a unit of the scanner does."""

    LEAD = "lead"
    CLAIM = "claim"
    RESERVE = "reserve"
    SIGN = "sign"
    NOTE_SENT = "note-sent"
    SEE = "see"
    SETTLE = "settle"
    FOLLOW = "follow"
    SEAL = "seal"


IN_A_COMMIT = (
    (Commit.RESERVE, {"INSERT INTO decisions"}),
    (Commit.SETTLE, {"INSERT INTO postings"}),
    (Commit.SEE, {"UPDATE chains", "UPDATE transactions"}),
    (Commit.FOLLOW, {"UPDATE chains"}),
    (Commit.SEAL, {"UPDATE events"}),
    (Commit.SIGN, {"INSERT INTO attempts", "INSERT INTO events"}),
    (Commit.NOTE_SENT, {"INSERT INTO attempts"}),
    (Commit.CLAIM, {"UPDATE transactions"}),
    (Commit.LEAD, {"INSERT INTO leases"}),
)
"""By what it writes a unit is known; the first that fits."""

WRITES = re.compile(rb"\s*(INSERT INTO \w+|UPDATE \w+|DELETE FROM \w+)")

COMMIT_KILLS = [
    kills(commit, mode, always=commit in {Commit.RESERVE, Commit.SIGN, Commit.SEE, Commit.SETTLE})
    for commit in Commit
    for mode in Mode
]


def commit_of(unit: Unit) -> Commit | None:
    """None for a unit that wrote nothing, or only how far the comparison with the chain has come."""
    writes = {found[1].decode() for statement in unit if (found := WRITES.match(statement))}
    if writes <= {"INSERT INTO settings"}:
        return None
    return next(commit for commit, those in IN_A_COMMIT if those <= writes)


def test_s_18_these_are_all_the_commits_of_a_send(pgsite: Site, pgproxy: PgProxy) -> None:
    ids = [pgsite.send(pgsite.wallets[0])]
    scanner = pgsite.processes.fork("scanner")
    assert pgsite.carried(ids, by=[scanner])
    until(lambda: any(commit_of(unit) is Commit.SEAL for unit in list(pgproxy.units)), what="the audit trail is sealed")
    assert scanner.stop() == 0
    assert {commit_of(unit) for unit in pgproxy.units} - {None} == set(Commit)


@pytest.mark.parametrize(("commit", "mode"), COMMIT_KILLS)
def test_s_18_killed_at_any_commit_a_send_is_paid_once(pgsite: Site, pgproxy: PgProxy, commit: Commit, mode: Mode) -> None:
    fault = Fault.LOSE_REQUEST if mode is Mode.BEFORE else Fault.LOSE_ANSWER
    pgproxy.at_commit(fault, times=1, when=lambda unit: commit_of(unit) is commit, act=lambda: pgsite.processes.newest().kill())
    assert_a_killed_send_is_paid_once(pgsite, "eth")


def assert_a_killed_send_is_paid_once(site: Site, asset: str) -> None:
    ids = [site.send(site.wallets[0], asset=asset)]
    victim = site.processes.fork("scanner")
    site.carried(ids, by=[victim])
    assert victim.ended() == KILLED
    site.leases_end()
    successor = site.processes.fork("scanner")
    assert site.carried(ids, by=[successor])
    site.settle()
    site.assert_paid_once(ids)
