"""Mutations that were looked at and change nothing that matters, each with its reason. A text that is gone fails a test."""

from __future__ import annotations

from typing import Final

import attrs

from tests.unit.simulation.mutating import Mutation


@attrs.frozen
class Harmless:
    """In the line `text` of a module, the change of `what`."""

    module: str
    text: str
    what: str
    why: str
    places: int = 1
    """How often the module holds that line, or the line what is changed."""

    def names(self, module: str, mutation: Mutation) -> bool:
        """Whether it is about that one."""
        return (self.module, self.text, self.what) == (module, mutation.text, mutation.what)


HARMLESS: Final = (
    Harmless(
        "services/ingest",
        "unit.chain(self._state.chain_id, lock=True)",
        "unit.chain(self._state.chain_id, lock=True)",
        "the row is written two reads later, which locks it, and its version is compared: who meets it waits, or begins again",
    ),
    Harmless(
        "services/foreign_use",
        "locked = unit.wallets_by_id({wallet.id for wallet in wallets.values()}, lock=True)",
        "True",
        "a wallet that is stopped is saved with its version: who changed it meanwhile makes the unit begin again",
    ),
    Harmless(
        "services/ingest",
        "if inclusion is None or mined is None:",
        "inclusion is None or mined is None",
        "neither ever is: it says to the type checker what holds",
    ),
    Harmless(
        "services/reserving",
        "answers = zip(senders, chain.known_nonces(senders, reserved=reserved), strict=True)",
        "True",
        "a chain answers one for one of what it is asked; here it is only said again",
    ),
    Harmless(
        "domain/fees",
        "return ordered[len(ordered) // 2] if ordered else 0",
        "0",
        "whoever asks for the median takes the least tip instead where that is more, and it is",
    ),
    Harmless(
        "services/following",
        "self._has_led = False",
        "False",
        "a process that has never led gives back a lease that it does not hold, which changes nothing",
        places=2,
    ),
    *(
        Harmless(
            module,
            "version: int = 1",
            "1",
            "versions are compared with each other and counted up; where they begin is all the same",
        )
        for module in ("domain/deposit", "domain/transaction")
    ),
    Harmless(
        "services/acceptance",
        "estimated = [(each, found) for each, found in zip(asked, known, strict=True) if isinstance(found, Estimate)]",
        "True",
        "what is estimated is made one for one of what was asked; here it is only said again",
    ),
    Harmless(
        "services/evidence",
        "if len(rows) < _ADDRESSES_PER_READ:",
        "len(rows) < _ADDRESSES_PER_READ",
        "with no more addresses than one full part, the rest is read when the commit finds that some are missing",
    ),
    Harmless(
        "services/evidence",
        "_ADDRESSES_PER_READ = 10_000",
        "10000",
        "how many rows are read at once: a matter of memory",
    ),
    Harmless(
        "services/foreign_use",
        "known = {address: answer.value for address, answer in zip(lines, answers, strict=True) if isinstance(answer, Found)}",
        "True",
        "a chain gives an answer for each question, which the contract of the port tries; here it is only said again",
    ),
    Harmless(
        "services/evidence",
        "answers = dict(zip(hashes, self._chain.signed_transactions(hashes), strict=True))",
        "True",
        "a chain gives an answer for each question, which the contract of the port tries; here it is only said again",
    ),
    Harmless(
        "services/replacing",
        "return asked_at is not None and newest is not None and asked_at > newest.planned_at",
        "asked_at > newest.planned_at",
        "whoever asks in the very microsecond in which an attempt is planned has asked for that one or the next: both are dearer",
    ),
    Harmless(
        "services/cross_check",
        "for each, sight in zip(left, self._sights.seen_by(witness, left, tokens, self._managed), strict=True):",
        "True",
        "`seen_by` gives a sight for each block that it is asked for; here it is only said again",
    ),
    Harmless(
        "services/arrivals",
        "for index, (each, of_it) in enumerate(zip(evidence, moved, strict=True)):",
        "True",
        "one is made of each of the other; here it is only said again",
    ),
    Harmless(
        "services/vouched",
        "(most,) = Counter(answer.value for answer in answers if isinstance(answer, Found)).most_common(1) or [(0, 0)]",
        "0",
        "where nobody answers, nobody has said it and one has said it are the same: two have to",
        places=2,
    ),
    *(
        Harmless(
            "services/sights",
            f"for {what} in unit.confirming_{what}s(chain_id, above=first - 1, up_to=last):",
            "1",
            "what is of the block before is left out below: its header is not asked for",
        )
        for what in ("deposit", "transaction")
    ),
    Harmless(
        "services/rescanning",
        "if state is None or unit.addresses_after(self._managed.sequence, 1) or not self._is_canonical(unit):",
        "1",
        "whether there is one is asked, by any number",
    ),
    Harmless(
        "domain/managed",
        "NEWEST_MAX: Final = 8_192",
        "8192",
        "how many addresses are held whole beside the others: a matter of time",
    ),
    Harmless(
        "services/arrivals",
        "untold = {held for held, *told in zip(paid, before, after, strict=True) "
        "if any(isinstance(each, Unknown) for each in told)}",
        "True",
        "a chain gives an answer for each question, which the contract of the port tries; here it is only said again",
    ),
    Harmless(
        "services/arrivals",
        "for each, of_it in zip(evidence, moved, strict=True):",
        "True",
        "one is made of each of the other; here it is only said again",
    ),
    Harmless(
        "services/sights",
        "return {block.header.hash: answer.value for block, answer in zip(blocks, answers, strict=True) "
        "if isinstance(answer, Found)}",
        "True",
        "a chain gives an answer for each question, which the contract of the port tries; here it is only said again",
    ),
    Harmless(
        "services/sending",
        "BATCH_MAX = 200",
        "200",
        "how many are carried in one round: what is left is carried in the next",
    ),
    *(
        Harmless(
            "services/foreign_use",
            "_ALL_OF_A_QUEUE = 2**31 - 1",
            what,
            "more than any queue holds, as before",
        )
        for what in ("2 ** 31 - 1", "2", "31", "1")
    ),
)


def is_harmless(module: str, mutation: Mutation) -> bool:
    """Whether somebody has looked at it and said so. What no value reaches, by the type checker's word, needs no look."""
    return mutation.text.startswith("assert_never(") or any(each.names(module, mutation) for each in HARMLESS)
