"""What checks have found."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import attrs

from custody_core.ports import Observer

VIOLATIONS_MAX = 100
"""How many violations of one check are told; more than that is one broken thing, told often enough."""

TITLES: Mapping[str, str] = {
    "INV-1": "the books equal the chain at the final block",
    "INV-2": "every posting group sums to zero, and balances are the sums of their postings",
    "INV-3": "each final deposit is credited exactly once, in the block that it names",
    "INV-4": "nothing is available before its block is final",
    "INV-5": "nothing that an owner holds is below zero",
    "INV-6": "amounts are whole base units below 2^256",
    "INV-7": "all payment attempts of a transaction are the same payment",
    "INV-8": "each used idempotency key names one thing, which its owner has",
    "INV-9": "nonces are used without a gap, each by one transaction",
    "INV-10": "what was sent was stored before",
    "INV-11": "final states rest on a final block",
    "INV-12": "fees are within the hold, and replacements raise both fields enough",
    "INV-13": "every signed attempt carries its own chain's id",
    "INV-15": "every wallet has one sealed key, which is kept for that wallet and its address",
    "INV-16": "every nonce rests on one decision that allows",
    "INV-17": "the policies in force can be read, and every decision is what its policies say",
    "INV-18": "the audit chain follows from its beginning",
    "INV-20": "stored headers form one chain",
}


@attrs.frozen
class Check:
    """The verdict on one invariant."""

    id: str
    title: str
    violations: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing violates it."""
        return not self.violations


class Verdicts:
    """What was found so far, of each promise."""

    def __init__(self) -> None:
        self._violations: dict[str, list[str]] = {id_: [] for id_ in TITLES}

    def add(self, id_: str, violations: Iterable[str]) -> None:
        """Takes in violations of one promise, as far as there is room for them."""
        told = self._violations[id_]
        for violation in violations:
            if len(told) >= VIOLATIONS_MAX:
                return
            told.append(violation)

    def checks(self) -> tuple[Check, ...]:
        """All verdicts, by number."""
        return tuple(Check(id_, title, tuple(self._violations[id_])) for id_, title in TITLES.items())


class Progress:
    """How far one part of the work has come, for whoever watches."""

    def __init__(self, observer: Observer, what: str, total: int) -> None:
        self._observer = observer
        self._what = what
        self._total = total
        self._done = 0

    def add(self, count: int) -> None:
        """So many rows more are done."""
        self._done += count
        self._observer.progress(self._what, done=min(self._done, self._total), total=self._total)
