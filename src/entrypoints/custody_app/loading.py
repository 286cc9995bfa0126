"""How the programs load their modules: without looking for garbage meanwhile."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def loading() -> Iterator[None]:
    """Imports make a hundred thousand objects, nearly all of which stay: searching them for garbage takes a tenth of a start.

    What was loaded is left out of every later search, too. So none of them holds up a running process for as long as it takes to
    visit all modules, and no page that forked workers share is copied because a search wrote to it.

    For our own programs: it speaks for the whole process, which is not ours to do in an embedder's.
    """
    known = len(sys.modules)
    gc.disable()
    try:
        yield
    finally:
        if len(sys.modules) > known:
            gc.freeze()
        gc.enable()
