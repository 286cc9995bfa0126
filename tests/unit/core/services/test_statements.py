"""Statements as text that spreadsheets open."""

from __future__ import annotations

import csv
import io

import attrs
import pytest

from custody_core.services.book_resources import statement_csv
from custody_core.services.statements import AssetStatement, Holding, Movement, Statement
from tests.support import factories


@pytest.mark.parametrize("reference", ["=1+1", "+1", "-1+1", "@SUM(A1)", "\t=1", "\r=1", '=HYPERLINK("http://x","y")', "=a\n,b"])
def test_no_cell_is_a_formula(reference: str) -> None:
    wallet = factories.wallet("usr_1")
    group = factories.credit(wallet, 5, reference=reference)
    movement = Movement(1, group, Holding(available=5), Holding(available=5))
    of_asset = AssetStatement(factories.ETH, Holding(), Holding(available=5), (movement,))
    text = statement_csv(Statement(wallet, factories.NOW, factories.NOW, (of_asset,)))
    row = list(csv.DictReader(io.StringIO(text, newline="")))[1]
    assert row["reference"] == f"'{reference}"
    assert row["amount"] == "5"


def test_what_does_not_add_up_is_said() -> None:
    wallet = factories.wallet("usr_1")
    movement = Movement(1, factories.credit(wallet, 5), Holding(available=5), Holding(available=5))
    sound = AssetStatement(factories.ETH, Holding(), Holding(available=5), (movement,))
    assert sound.difference == 0
    assert attrs.evolve(sound, closing=Holding(available=7)).difference == 2
