"""The page of sending faults names tests that exist, and every scenario has a test that is named after it."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PAGE = ROOT / "docs" / "explanation" / "sending-faults.md"
FAULT = re.compile(r"^\| (?!Fault|Number|-|S-)(.+?) \| (.+?) \| (.+) \|$", re.MULTILINE)
SCENARIO = re.compile(r"^\| S-(\d\d) \| .+ \|$", re.MULTILINE)
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")
NUMBERED = re.compile(r"test_s_?(\d\d)_")


@cache
def names_in(path: Path) -> frozenset[str]:
    """The names of a file's test functions, those of its classes included."""
    tree = ast.parse(path.read_text("utf-8"))
    return frozenset(each.name for each in ast.walk(tree) if isinstance(each, ast.FunctionDef) and each.name.startswith("test_"))


FAULTS = FAULT.findall(PAGE.read_text("utf-8"))


def test_the_page_has_faults() -> None:
    assert len(FAULTS) > 30


@pytest.mark.parametrize(("fault", "tests"), [(fault, tests) for fault, _, tests in FAULTS])
def test_each_fault_names_tests_that_exist(fault: str, tests: str) -> None:
    named = NAMED.findall(tests)
    assert named, f"no test keeps this from coming back: {fault}"
    assert NAMED.sub("", tests).strip(", ") == "", "the cell holds tests and nothing else"
    missing = [f"{path}::{name}" for path, name in named if not (ROOT / path).exists() or name not in names_in(ROOT / path)]
    assert missing == []


def test_each_scenario_has_a_test_of_its_number() -> None:
    numbers = SCENARIO.findall(PAGE.read_text("utf-8"))
    found = {number for path in (ROOT / "tests").rglob("test_*.py") for name in names_in(path) for number in NUMBERED.findall(name)}
    assert numbers == sorted(set(numbers))
    assert set(numbers) <= found
