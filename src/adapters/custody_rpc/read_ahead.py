"""Reading the next blocks while the last ones are being worked on.

Whoever asks for many blocks in a row is catching up, and will ask for as many after them. What was read ahead is as old as the time
since then, which is why it is given out once, and why only what was found is.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, Generic, TypeVar

from custody_core.ports import Answer, Found

R = TypeVar("R")

MANY: Final = 16
"""A question about fewer is one at the head of the chain: there is nothing to read ahead."""


class ReadAhead(Generic[R]):
    """Answers to questions about consecutive numbers by `ask`; what it answers ahead, `then` is told at once. Safe to share between
    threads; one of them gains from it.
    """

    def __init__(
        self, ask: Callable[[Sequence[int]], Sequence[Answer[R]]], then: Callable[[Sequence[Answer[R]]], None] = lambda _: None
    ) -> None:
        self._ask = ask
        self._then = then
        self._lock = threading.Lock()
        self._reader: ThreadPoolExecutor | None = None
        self._next: Sequence[int] = ()
        self._answers: Future[Sequence[Answer[R]]] | None = None

    def answers(self, numbers: Sequence[int]) -> Sequence[Answer[R]]:
        """An answer per number, in that order."""
        found = self._taken(numbers)
        left = numbers[len(found) :]
        asked = self._ask(left) if left else ()
        if len(numbers) >= MANY and numbers[-1] - numbers[0] == len(numbers) - 1:
            self._read(range(numbers[-1] + 1, numbers[-1] + 1 + len(numbers)))
        return [*found, *asked]

    def close(self) -> None:
        """Lets go of its thread."""
        with self._lock:
            if self._reader is not None:
                self._reader.shutdown(cancel_futures=True)
            self._reader, self._answers = None, None

    def _read(self, numbers: Sequence[int]) -> None:
        with self._lock:
            if self._reader is None:
                self._reader = ThreadPoolExecutor(1, thread_name_prefix="read-ahead")
            self._next, self._answers = numbers, self._reader.submit(self._ask_ahead, numbers)

    def _ask_ahead(self, numbers: Sequence[int]) -> Sequence[Answer[R]]:
        answers = self._ask(numbers)
        self._then(answers)
        return answers

    def _taken(self, numbers: Sequence[int]) -> Sequence[Answer[R]]:
        """What was read ahead of `numbers`, from the first on, up to the first that was not found."""
        with self._lock:
            answers, self._answers = self._answers, None
            known = dict.fromkeys(self._next)
        if answers is None or not numbers or numbers[0] not in known:
            return ()
        told = dict(zip(known, answers.result(), strict=True))
        found: list[Answer[R]] = []
        for number in numbers:
            answer = told.get(number)
            if not isinstance(answer, Found):
                break
            found.append(answer)
        return found
