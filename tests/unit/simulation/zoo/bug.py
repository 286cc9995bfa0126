"""The bug zoo: bugs of one line each, put into the running core by a test only, to see whether the simulator sees them.

A bug is a text of a function and what stands in its place. A text that is not there any more fails loudly, so the zoo moves with
the core.
"""

from __future__ import annotations
import __future__

import inspect
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import attrs
import pytest

FACTS: Final = "__import__('custody_core.domain.facts', fromlist=['facts'])"


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
    peer: str | None = None
    """Who shipped it, or something like it."""


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
