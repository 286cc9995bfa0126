"""The core's unit tests: what each of them runs of the core, and some of them again, those first that take least."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Generator, Mapping, Sequence
from pathlib import Path
from typing import Final

import attrs
import pytest
from coverage import Coverage
from hypothesis import settings

ROOT: Final = Path(__file__).parents[3]
TESTS: Final = ROOT / "tests" / "unit" / "core"
PROFILE: Final = "mutants"
"""The same examples each time, and none kept: a mutant's are of no use to the clean core."""
settings.register_profile(PROFILE, deadline=None, derandomize=True, database=None, max_examples=40)
ARGUMENTS: Final = (
    *("-q", "-x", "-p", "no:cacheprovider", "-m", "not slow", f"--rootdir={ROOT}", f"--hypothesis-profile={PROFILE}"),
    # Libraries were imported before pytest was begun; it need not rewrite their assertions.
    *("-W", "ignore::pytest.PytestAssertRewriteWarning"),
)


@attrs.frozen
class Covered:
    """A unit test, the processor time that it takes, and the lines that it runs of each module (`domain/fees`) of the core."""

    name: str
    cost_s: float
    lines: Mapping[str, frozenset[int]]

    def runs(self, module: str, lines: range) -> bool:
        """Whether it runs one of these lines."""
        return not self.lines.get(module, frozenset()).isdisjoint(lines)


def test_files() -> list[str]:
    """Of the core's unit tests."""
    return [str(path.relative_to(ROOT)) for path in sorted(TESTS.rglob("test_*.py"))]


def run_covered(files: Sequence[str], core: Path) -> list[Covered] | None:
    """Runs all tests of these files. None where one fails."""
    measuring = _Measuring(core)
    code = pytest.main([*ARGUMENTS, *files], plugins=[measuring])
    return measuring.tests() if code == pytest.ExitCode.OK else None


def run_tests(tests: Sequence[Covered], *, before: Callable[[Covered], None]) -> bool:
    """Whether all of these pass, in this order. Raises `MemoryError` where one has too little, `RuntimeError` where pytest itself
    does not get on.
    """
    files = dict.fromkeys(test.name.partition("::")[0] for test in tests)
    choosing = _Choosing(tests, before)
    code = pytest.main([*ARGUMENTS, *files], plugins=[choosing])
    if choosing.is_out_of_memory:
        raise MemoryError
    match code:
        case pytest.ExitCode.OK | pytest.ExitCode.NO_TESTS_COLLECTED:
            return True
        case pytest.ExitCode.TESTS_FAILED | pytest.ExitCode.INTERRUPTED:
            return False
        case _:
            raise RuntimeError(f"pytest ended with {code}")


def is_out_of_memory(problem: BaseException | None) -> bool:
    """Whether that is what it came from."""
    return problem is not None and (isinstance(problem, MemoryError) or is_out_of_memory(problem.__cause__ or problem.__context__))


class _Measuring:
    """Measures each test by itself."""

    def __init__(self, core: Path) -> None:
        self._core = core
        self._coverage = Coverage(data_file=None, config_file=False, source=[str(core)], messages=False)
        self._costs: dict[str, float] = {}

    def pytest_sessionstart(self) -> None:
        self._coverage.start()

    def pytest_sessionfinish(self) -> None:
        self._coverage.stop()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        self._coverage.switch_context(item.nodeid)
        began_s = time.process_time()
        result = yield
        self._costs[item.nodeid] = time.process_time() - began_s
        self._coverage.switch_context("")
        return result

    def tests(self) -> list[Covered]:
        """All that ran."""
        data = self._coverage.get_data()
        lines: dict[str, dict[str, set[int]]] = defaultdict(lambda: defaultdict(set))
        for file in data.measured_files():
            module = str(Path(file).relative_to(self._core).with_suffix(""))
            for line, names in data.contexts_by_lineno(file).items():
                for name in names:
                    lines[name][module].add(line)
        return [
            Covered(name, cost_s, {module: frozenset(each) for module, each in lines[name].items()})
            for name, cost_s in self._costs.items()
        ]


class _Choosing:
    """Runs these tests, and no others, in their order."""

    def __init__(self, tests: Sequence[Covered], before: Callable[[Covered], None]) -> None:
        self._tests = {test.name: (at, test) for at, test in enumerate(tests)}
        self._before = before
        self.is_out_of_memory = False
        """Whether that is why one failed."""

    def pytest_exception_interact(self, call: pytest.CallInfo[None]) -> None:
        self.is_out_of_memory |= call.excinfo is not None and is_out_of_memory(call.excinfo.value)

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items[:] = sorted((item for item in items if item.nodeid in self._tests), key=lambda item: self._tests[item.nodeid][0])

    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        self._before(self._tests[item.nodeid][1])
