"""Writes docs/reference/transaction-states.md from the transition tables. `make docs` runs it; a test compares the two.

A state's meaning is prose and stands here; every edge, event and reason comes from `custody_core.domain`. An incoming edge has
no reason in its table, so that stands here, too; an edge without one ends the program.
"""

from collections.abc import Iterable
from pathlib import Path

from custody_core.domain import deposit as incoming
from custody_core.domain import lifecycle as outgoing
from custody_core.domain.deposit import DepositState, Finalised, Orphaned, Released, SeenAgain
from custody_core.domain.transaction import FINAL_STATES, State

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "transaction-states.md"

OUTGOING_MEANINGS = {
    State.PENDING_APPROVAL: "people have to agree first; the funds are held",
    State.QUEUED: "accepted, the funds are held; no nonce yet",
    State.PENDING_SIGNATURE: "has its nonce, for ever; its first attempt is planned and not signed",
    State.BROADCASTING: "signed bytes are stored; nodes may or may not have them",
    State.CONFIRMING: "a canonical block holds one of its attempts, and is not final",
    State.COMPLETED: "the payment is in a final block and succeeded",
    State.REVERTED: "the payment is in a final block and reverted: the gas is spent, the amount is back",
    State.REJECTED: "a policy or a person said no, or the wallet may not send; nothing reached the chain",
    State.CANCELLED: "taken back, at once before it had a nonce, else by a cancellation in a final block",
    State.EXPIRED: "the people who were asked did not agree in time",
    State.FAILED: "proved impossible: its nonce was finally used by somebody else",
}

INCOMING_MEANINGS = {
    DepositState.CONFIRMING: "a canonical block holds it, and is not final; counted in `pending_in`, in no balance",
    DepositState.COMPLETED: "final, credited, spendable",
    DepositState.ORPHANED: "its block left the chain; the same deposit again if another block takes it in",
    DepositState.QUARANTINED: "final and booked, but not the owner's yet; `reason` says why",
}

INCOMING_REASONS: dict[tuple[type[incoming.DepositFact], DepositState], str] = {
    (Orphaned, DepositState.ORPHANED): "its block left the chain; nothing had been credited",
    (Finalised, DepositState.COMPLETED): "its block is final",
    (Finalised, DepositState.QUARANTINED): (
        "its block is final, and it is dust, its wallet is closed, less came than it says, or only one of two nodes could trace it"
    ),
    (SeenAgain, DepositState.CONFIRMING): "another canonical block holds the same movement",
    (Released, DepositState.COMPLETED): "an operator gave it to the owner",
}

INTRODUCTION = """\
# States of transactions

<!-- Written by tools/docs/states.py from the transition tables. Change those and run `make docs`. -->

What is not drawn here cannot happen: the tables below are the ones that the code runs on. An arrow is a fact that has come to be
known.

No rule asks for approval yet; those edges are defined and nothing takes them.
"""


def page() -> str:
    """The whole page."""
    parts = [INTRODUCTION, _outgoing(), _incoming()]
    return "\n".join(parts)


def _outgoing() -> str:
    edges = [
        (state, fact.__name__, edge.to, f"`transaction.{edge.event}`" if edge.event else "none", edge.because)
        for state, facts in outgoing.TRANSITIONS.items()
        for fact, edge in facts.items()
    ]
    return "\n".join(
        [
            "## Outgoing\n",
            *_diagram(((start, fact, end) for start, fact, end, _, _ in edges), FINAL_STATES, starts=_OUTGOING_STARTS),
            *_table(("State", "Meaning"), ((f"`{state}`", OUTGOING_MEANINGS[state]) for state in outgoing.TRANSITIONS)),
            *_table(
                ("In state", "comes", "leads to", "event", "because"),
                ((f"`{start}`", fact, f"`{end}`", event, why) for start, fact, end, event, why in edges),
            ),
            _waits(),
        ]
    )


def _waits() -> str:
    resend, replace = outgoing.RESEND_AFTER.total_seconds(), outgoing.REPLACE_AFTER.total_seconds()
    return (
        f"Bytes that are on their way are sent again after {resend:g} seconds; an attempt that has waited for {replace:g}\n"
        "seconds is followed by a dearer one.\n"
    )


def _incoming() -> str:
    edges = [(state, fact, end) for state, facts in incoming.TRANSITIONS.items() for fact, ends in facts.items() for end in ends]
    finals = frozenset(state for state, facts in incoming.TRANSITIONS.items() if not facts)
    return (
        "\n".join(
            [
                "## Incoming\n",
                *_diagram(((start, fact.__name__, end) for start, fact, end in edges), finals, starts=(DepositState.CONFIRMING,)),
                *_table(("State", "Meaning"), ((f"`{state}`", INCOMING_MEANINGS[state]) for state in incoming.TRANSITIONS)),
                *_table(
                    ("In state", "comes", "leads to", "event", "because"),
                    (
                        (f"`{start}`", fact.__name__, f"`{end}`", f"`transaction.{end}`", INCOMING_REASONS[fact, end])
                        for start, fact, end in edges
                    ),
                ),
            ]
        ).rstrip("\n")
        + "\n"
    )


_OUTGOING_STARTS = (State.QUEUED, State.PENDING_APPROVAL, State.REJECTED)
"""What a request is born as."""


def _diagram(edges: Iterable[tuple[str, str, str]], finals: Iterable[str], *, starts: Iterable[str]) -> list[str]:
    lines = ["```mermaid", "stateDiagram-v2"]
    lines += [f"    [*] --> {start}" for start in starts]
    lines += [f"    {start} --> {end}: {fact}" for start, fact, end in edges]
    lines += [f"    {final} --> [*]" for final in sorted(finals)]
    return [*lines, "```\n"]


def _table(titles: Iterable[str], rows: Iterable[Iterable[str]]) -> list[str]:
    heads = list(titles)
    lines = [heads, ["---"] * len(heads), *rows]
    return [*(f"| {' | '.join(cells)} |" for cells in lines), ""]


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(f"wrote {PAGE.relative_to(Path.cwd()) if PAGE.is_relative_to(Path.cwd()) else PAGE.name}")
