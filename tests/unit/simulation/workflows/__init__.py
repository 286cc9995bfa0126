"""The golden workflows, each from its first call to the quiet after it. Each is crashed at every call to a port."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from tests.unit.simulation.rehearsal import Rehearsal, Stage
from tests.unit.simulation.workflows import (
    agreeing,
    booking,
    comparing,
    doubting,
    halting,
    misleading,
    operating,
    receiving,
    refusing,
    replacing,
    rescanning,
    restoring,
    sending,
    tampering,
)

Workflow = Callable[[Rehearsal], None]

WORKFLOWS: Final[Mapping[str, Workflow]] = {
    workflow.__name__: workflow
    for module in (
        sending,
        replacing,
        receiving,
        operating,
        halting,
        refusing,
        restoring,
        doubting,
        tampering,
        booking,
        comparing,
        rescanning,
        agreeing,
        misleading,
    )
    for workflow in vars(module).values()
    if callable(workflow) and getattr(workflow, "__module__", "") == module.__name__ and not workflow.__name__.startswith("_")
}

STAGES: Final[Mapping[str, Stage]] = {
    **doubting.STAGES,
    **comparing.STAGES,
    **rescanning.STAGES,
    **agreeing.STAGES,
    **misleading.STAGES,
}
"""Where a workflow needs more than one node, or other limits."""

_REFUSING: Final = {
    module.__name__ for module in (refusing, doubting, tampering, booking, comparing, rescanning, agreeing, misleading)
}
THINNED: Final = frozenset(name for name, workflow in WORKFLOWS.items() if workflow.__module__ in _REFUSING)
"""Those in which something is refused or waited for: `make sim` crashes each at some of its calls only, `make sim-long` at all."""

PAIRED: Final = ("send_ether", "deposit", "cancel_before_nonce", "send_token", "internal_deposit")
"""Short ones that move money: crashed twice, at pairs of calls, too."""
