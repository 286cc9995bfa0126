"""What the benchmarks print and keep is what they measured."""

import json
from collections.abc import Callable, Iterator

import pytest

from tests.benchmarks import page
from tests.benchmarks.harness import Result, interleaved, median, ratio, spread

RESULT = Result(
    id="P5",
    name="durable sends",
    ours=400.0,
    peer=100.0,
    limit=800.0,
    ratio_to_peer=4.0,
    ratio_to_limit=0.5,
    unit="tx/s",
    runs=3,
    more={"peer_own_nonces": 200.0},
)


def figures(*values: float) -> Callable[[], float]:
    left: Iterator[float] = iter(values)
    return lambda: next(left)


def test_a_result_is_one_line_of_json_with_the_agreed_names_first() -> None:
    line = RESULT.line()
    assert "\n" not in line
    record = json.loads(line)
    agreed = ["id", "name", "ours", "peer", "limit", "ratio_to_peer", "ratio_to_limit", "unit", "runs"]
    assert list(record) == [*agreed, "peer_own_nonces"]
    assert record["peer_own_nonces"] == 200.0


def test_the_first_round_is_thrown_away_and_ratios_are_of_one_round(capsys: pytest.CaptureFixture[str]) -> None:
    # A machine that is three times slower in the last round moves no ratio.
    rounds = interleaved("P1", {"ours": figures(99.0, 1.0, 1.0, 3.0), "peer": figures(1.0, 8.0, 8.0, 24.0)}, rounds=3)
    assert rounds == {"ours": [1.0, 1.0, 3.0], "peer": [8.0, 8.0, 24.0]}
    assert median(rounds, "ours") == 1.0
    assert ratio(rounds, "peer", "ours") == 8.0
    assert spread({"ours": [1.0, 2.0], "peer": [4.0, 2.0]}, "peer", "ours") == "1 to 4"
    assert capsys.readouterr().out == "", "stdout is for results"


def test_the_order_of_the_variants_turns_around_every_round() -> None:
    called: list[str] = []

    def variant(name: str) -> Callable[[], float]:
        def measure() -> float:
            called.append(name)
            return 1.0

        return measure

    interleaved("P1", {"ours": variant("ours"), "peer": variant("peer")}, rounds=2)
    assert called == ["peer", "ours", "ours", "peer", "peer", "ours"]


def test_writing_one_result_keeps_the_others_and_replaces_its_own() -> None:
    about = {"date": "2026-03-04", "commit": "0123456789"}
    first = page.with_record("", {**RESULT.record(), **about})
    both = page.with_record(first, {**RESULT.record(), **about, "id": "P1", "ours": 7.0})
    again = page.with_record(both, {**RESULT.record(), **about, "ours": 450.0})
    kept = page._DATA.search(again)
    assert kept is not None
    assert [(each["id"], each["ours"]) for each in map(json.loads, kept[1].splitlines())] == [("P1", 7.0), ("P5", 450.0)]
    assert "| P5 | durable sends | 450 tx/s | 100 tx/s | 800 tx/s | 4x | 0.5 |" in again
    assert again.count("| P5 |") == 1


def test_the_page_shows_the_spread_and_the_less_flattering_ratios_beside_the_headline() -> None:
    about = {"date": "2026-03-04", "commit": "0123456789", "rounds_to_peer": "2 to 6", "ratio_to_peer_own_nonces": 1.5}
    assert "| 4x (rounds 2 to 6; 1.5x peer_own_nonces) | 0.5 |" in page.with_record("", {**RESULT.record(), **about})


def test_what_has_no_limit_is_shown_with_none() -> None:
    about = {"date": "2026-03-04", "commit": "0123456789", "limit": None, "ratio_to_limit": None}
    assert "| 400 tx/s | 100 tx/s | none | 4x | none |" in page.with_record("", {**RESULT.record(), **about})


def test_every_benchmark_with_a_goal_is_explained() -> None:
    for name, text in page.EXPLAINED.items():
        assert name in page.GOALS
        assert text is not None
        assert text.startswith(f"{name}: ")
