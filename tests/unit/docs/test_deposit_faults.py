"""The page of deposit faults names tests that exist, and every scenario has a test that is named after it."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PAGE = ROOT / "docs" / "explanation" / "deposit-faults.md"
ROW = re.compile(r"^\| (?!Fault|Number|-)(.+?) \| (.+?) \| (.+) \|$", re.MULTILINE)
NUMBER = re.compile(r"([DR])-(\d\d)")
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")
ROWS = ROW.findall(PAGE.read_text("utf-8"))
SCENARIOS = {row[0]: NAMED.findall(row[2]) for row in ROWS if NUMBER.fullmatch(row[0])}


@cache
def names_in(path: Path) -> frozenset[str]:
    """The names of a file's test functions, those of its classes included."""
    tree = ast.parse(path.read_text("utf-8"))
    return frozenset(each.name for each in ast.walk(tree) if isinstance(each, ast.FunctionDef) and each.name.startswith("test_"))


def test_the_page_has_faults() -> None:
    assert len(ROWS) - len(SCENARIOS) > 30


@pytest.mark.parametrize(("first", "tests"), [(first, tests) for first, _, tests in ROWS])
def test_each_row_names_tests_that_exist(first: str, tests: str) -> None:
    named = NAMED.findall(tests)
    assert named, f"no test keeps this from coming back: {first}"
    assert NAMED.sub("", tests).strip(", ") == "", "the cell holds tests and nothing else"
    missing = [f"{path}::{name}" for path, name in named if not (ROOT / path).exists() or name not in names_in(ROOT / path)]
    assert missing == []


def test_every_scenario_is_there_in_order() -> None:
    assert list(SCENARIOS) == [f"D-{each:02}" for each in range(1, 23)] + [f"R-{each:02}" for each in range(1, 21)]


@pytest.mark.parametrize("number", SCENARIOS)
def test_each_scenario_has_tests_of_its_number(number: str) -> None:
    letter, digits = number.lower().split("-")
    for path, name in SCENARIOS[number]:
        assert re.search(rf"_{letter}_?{digits}_", name), f"{path}::{name} is not named after {number}"
