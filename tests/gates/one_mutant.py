"""One mutant at work, in a process of its own: `python -m tests.gates.one_mutant MODULE NUMBER`.

The module is loaded with its one change before anything else imports it; then stories are told and the core's tests are run until
something notices. Exits with 1 when it was noticed, 0 when not.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Final

import pytest

from tests.gates.money import name_of, path_of
from tests.gates.mutants import mutated

SEEDS: Final = range(8)
STEPS: Final = 800
TESTS: Final = ("tests/unit/core", "tests/unit/simulation/test_crash_points.py")


class _Loader(importlib.abc.Loader):
    def __init__(self, module: str, number: int) -> None:
        self._code = compile(mutated(path_of(module).read_text(), number), str(path_of(module)), "exec")

    def exec_module(self, module: ModuleType) -> None:
        exec(self._code, module.__dict__)  # noqa: S102 - our own source


class _Finder(importlib.abc.MetaPathFinder):
    def __init__(self, module: str, number: int) -> None:
        self._name, self._loader = name_of(module), _Loader(module, number)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Only for the one module."""
        del path, target
        return importlib.machinery.ModuleSpec(fullname, self._loader) if fullname == self._name else None


def is_noticed() -> bool:
    """Whether a story or a test fails. Whatever a story dies of, it was noticed."""
    try:
        from tests.unit.simulation.story import Story  # noqa: PLC0415 - after the finder is in place

        for seed in SEEDS:
            Story(seed, steps=STEPS).tell()
    except Exception:  # noqa: BLE001 - see above
        return True
    return pytest.main(["-x", "-q", "-p", "no:cacheprovider", "--no-header", "-m", "not slow", *TESTS]) != 0


def main() -> int:
    """The program."""
    module, number = sys.argv[1], int(sys.argv[2])
    sys.meta_path.insert(0, _Finder(module, number))
    return int(is_noticed())


if __name__ == "__main__":
    sys.exit(main())
