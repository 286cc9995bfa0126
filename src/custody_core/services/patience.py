"""How long to wait for what may never come.

Rules of this file

1. Who has waited for nothing lately waits ten minutes for one block. What was waited is used up, and comes back at six minutes an
   hour. So all that is waited, however many blocks come late or not at all, is ten minutes and a tenth of the time: blocks come
   faster than they can be held up.
2. While nobody asks, nothing is used up but two minutes: a process that was away has not waited.
3. Nobody forgets what was waited for a block because somebody else leads for a while: where a question takes longer than the lease,
   leaders alternate.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from custody_core.domain.chain import Hash
from custody_core.ports import Clock

PATIENCE_MAX: Final = timedelta(minutes=10)
PATIENCE_REGAINED: Final = 0.1
"""Of the time in which nothing is waited for."""

BETWEEN_QUESTIONS_MAX: Final = timedelta(minutes=2)
"""As much is used up between two questions about a block at most."""


class Patience:
    """What one follower has left of it. It may owe some, since a question takes as long as it takes."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._left = PATIENCE_MAX
        self._counted_until = clock.now()
        self._awaited: Hash | None = None

    def is_over(self, block_hash: Hash) -> bool:
        """Whether this block, asked about in vain just now, has been waited for long enough."""
        self._count(block_hash)
        self._awaited = block_hash
        return self._left <= timedelta(0)

    def was_told(self, block_hash: Hash) -> None:
        """This block need not be waited for any more."""
        self._count(block_hash)
        self._awaited = None

    def _count(self, block_hash: Hash) -> None:
        now = self._clock.now()
        passed, self._counted_until = now - self._counted_until, now
        if block_hash == self._awaited:
            self._left = max(self._left - min(passed, BETWEEN_QUESTIONS_MAX), -PATIENCE_MAX)
        else:
            self._left = min(self._left + passed * PATIENCE_REGAINED, PATIENCE_MAX)
