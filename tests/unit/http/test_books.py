"""The books over HTTP: entries, statements in both forms, how a balance came to be, and who sees what."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime, timedelta

import pytest

from custody_core import Role, ether
from custody_core.services.book_resources import STATEMENT_COLUMNS
from tests.unit.http.site import Person, Site


@pytest.fixture
def alice(site: Site) -> Person:
    return site.person("alice")


def sent_and_received(site: Site, person: Person) -> str:
    """The id of a wallet that received an ether and sent a tenth of it."""
    wallet = site.bench.wallet(person.user.id, wei=ether("1"))
    site.bench.send(wallet, ether("0.1"))
    site.bench.settle()
    return wallet.id


def period(first: datetime, last: datetime) -> str:
    return f"from={first:%Y-%m-%dT%H:%M:%SZ}&to={last:%Y-%m-%dT%H:%M:%SZ}"


class TestStatements:
    def test_add_up(self, site: Site, alice: Person) -> None:
        wallet_id = sent_and_received(site, alice)
        shown = site.get(f"/v1/statements?wallet_id={wallet_id}", alice).json
        (eth,) = shown["assets"]
        balance = site.get(f"/v1/wallets/{wallet_id}/balances?live=false", alice).json["data"][0]
        assert shown["wallet_id"] == wallet_id
        assert eth["opening"]["total"] == "0"
        assert eth["closing"]["total"] == balance["total"]
        assert eth["closing"]["available"] == balance["available"]
        assert [entry["reason"] for entry in eth["entries"]] == ["deposit-credited", "send-held", "send-settled"]
        assert [entry["height"] is None for entry in eth["entries"]] == [False, True, False]
        assert eth["entries"][0]["amount"] == str(ether("1"))
        assert eth["entries"][1]["amount"] == "0"
        assert eth["entries"][-1]["balance"] == eth["closing"]
        assert eth["control"] == {"entries": 3, "sum": balance["total"], "difference": "0"}

    def test_of_two_halves_of_a_time_meet(self, site: Site, alice: Person) -> None:
        wallet = site.bench.wallet(alice.user.id, wei=ether("1"))
        middle = site.bench.clock.now() + timedelta(minutes=1)
        site.bench.clock.advance(120)
        site.bench.pay_in(wallet, ether("2"))
        early = site.get(f"/v1/statements?wallet_id={wallet.id}&{period(middle - timedelta(days=9), middle)}", alice).json
        late = site.get(f"/v1/statements?wallet_id={wallet.id}&{period(middle, middle + timedelta(days=9))}", alice).json
        assert early["assets"][0]["closing"] == late["assets"][0]["opening"]
        assert [entry["amount"] for entry in early["assets"][0]["entries"]] == [str(ether("1"))]
        assert [entry["amount"] for entry in late["assets"][0]["entries"]] == [str(ether("2"))]
        assert late["assets"][0]["closing"]["total"] == str(ether("3"))
        assert late["from"] == f"{middle.replace(microsecond=0).astimezone(UTC):%Y-%m-%dT%H:%M:%S}Z"

    @pytest.mark.parametrize(
        ("query", "accept"), [("&format=csv", None), ("", "text/csv"), ("", "text/csv, application/json;q=0.5")]
    )
    def test_come_as_csv(self, site: Site, alice: Person, query: str, accept: str | None) -> None:
        wallet_id = sent_and_received(site, alice)
        headers = {"Accept": accept} if accept else {}
        answer = site.get(f"/v1/statements?wallet_id={wallet_id}{query}", alice, headers=headers)
        assert answer.content_type == "text/csv; charset=utf-8"
        assert f'filename="statement-{wallet_id}.csv"' in answer.headers["Content-Disposition"]
        rows = list(csv.DictReader(io.StringIO(answer.text)))
        assert tuple(rows[0]) == STATEMENT_COLUMNS
        assert [row["row"] for row in rows] == ["opening", "movement", "movement", "movement", "closing", "control"]
        moved = sum(int(row["amount"]) for row in rows if row["row"] == "movement")
        opening, closing, control = rows[0], rows[-2], rows[-1]
        assert int(opening["balance"]) + moved == int(closing["balance"])
        assert (int(control["amount"]), control["balance"]) == (moved, "0")
        assert rows[2]["available_change"].startswith("-")
        assert not any(cell.startswith(("=", "+", "@", "\t")) for row in rows for cell in row.values())

    @pytest.mark.parametrize("accept", [None, "*/*", "application/json", "application/json, text/csv;q=0.9"])
    def test_come_as_json_otherwise(self, site: Site, alice: Person, accept: str | None) -> None:
        wallet_id = site.wallet_of(alice)
        answer = site.get(f"/v1/statements?wallet_id={wallet_id}", alice, headers={"Accept": accept} if accept else {})
        assert answer.json["assets"] == []

    def test_of_others_are_not_found(self, site: Site, alice: Person) -> None:
        wallet_id = sent_and_received(site, alice)
        mallory, auditor = site.person("mallory"), site.person("auditor", Role.AUDITOR)
        for path in (f"/v1/statements?wallet_id={wallet_id}", f"/v1/wallets/{wallet_id}/balance-history"):
            refused, unknown = site.get(path, mallory), site.get(path.replace(wallet_id, "wal_" + "0" * 26), mallory)
            assert (refused.status_code, refused.json["code"]) == (404, "not-found")
            assert {**refused.json, "instance": "", "request_id": ""} == {**unknown.json, "instance": "", "request_id": ""}
            assert site.get(path, auditor).status_code == 200

    @pytest.mark.parametrize(
        ("query", "pointer"),
        [
            ("", "/wallet_id"),
            ("wallet_id=W&from=yesterday", "/from"),
            ("wallet_id=W&to=2027-01-31T00:00:00", "/to"),
            ("wallet_id=W&from=2027-01-31T00:00:00Z&to=2026-01-31T00:00:00Z", "/to"),
            ("wallet_id=W&format=xlsx", "/format"),
        ],
    )
    def test_need_a_period_that_makes_sense(self, site: Site, alice: Person, query: str, pointer: str) -> None:
        wallet_id = site.wallet_of(alice)
        answer = site.get(f"/v1/statements?{query.replace('W', wallet_id)}", alice)
        assert answer.status_code == 422
        assert answer.json["errors"][0]["pointer"] == pointer


class TestEntries:
    def test_are_double(self, site: Site, alice: Person) -> None:
        wallet_id = sent_and_received(site, alice)
        data = site.get(f"/v1/ledger-entries?wallet_id={wallet_id}", alice).json["data"]
        assert [each["reason"] for each in data] == ["send-settled", "send-held", "deposit-credited"]
        for each in data:
            assert sum(int(posting["amount"]) for posting in each["postings"]) == 0
        credit = data[-1]
        assert credit["reference"].startswith("txn_")
        assert {posting["account"]: posting["amount"] for posting in credit["postings"]} == {
            "external": str(-ether("1")),
            "available": str(ether("1")),
        }

    def test_are_those_of_the_caller(self, site: Site, alice: Person) -> None:
        sent_and_received(site, alice)
        bob = site.person("bob")
        theirs = site.wallet_of(bob, wei=5)
        assert {
            posting["wallet_id"]
            for each in site.get("/v1/ledger-entries", bob).json["data"]
            for posting in each["postings"]
            if posting["wallet_id"]
        } == {theirs}
        assert len(site.get("/v1/ledger-entries", alice).json["data"]) == 3
        assert len(site.get("/v1/ledger-entries", site.person("auditor", Role.AUDITOR)).json["data"]) == 4
        assert site.get(f"/v1/ledger-entries?wallet_id={theirs}", alice).json["data"] == []

    def test_come_page_by_page(self, site: Site, alice: Person) -> None:
        sent_and_received(site, alice)
        whole = site.get("/v1/ledger-entries", alice).json["data"]
        first = site.get("/v1/ledger-entries?limit=2", alice).json
        rest = site.get(f"/v1/ledger-entries?limit=2&cursor={first['next_cursor']}", alice).json
        assert [*first["data"], *rest["data"]] == whole
        assert (first["has_more"], rest["has_more"]) == (True, False)

    def test_are_narrowed_down(self, site: Site, alice: Person) -> None:
        wallet = site.bench.wallet(alice.user.id, wei=9)
        token = site.bench.token()
        site.bench.pay_in_token(wallet, token, 7)
        (only,) = site.get("/v1/ledger-entries?asset=usdc", alice).json["data"]
        assert {posting["asset"] for posting in only["postings"]} == {"usdc"}
        assert site.get("/v1/ledger-entries?chain=eip155:1", alice).json["data"] == []
        assert site.get("/v1/ledger-entries?asset=doge", alice).json["code"] == "unsupported-asset"


class TestHistory:
    def test_leads_to_the_balance(self, site: Site, alice: Person) -> None:
        wallet_id = sent_and_received(site, alice)
        path = f"/v1/wallets/{wallet_id}/balance-history?asset=eth"
        data = site.get(path, alice).json["data"]
        balance = site.get(f"/v1/wallets/{wallet_id}/balances?live=false", alice).json["data"][0]
        assert data[0]["balance"]["total"] == balance["total"]
        assert data[-1]["balance"]["total"] == data[-1]["amount"] == str(ether("1"))
        first = site.get(f"{path}&limit=2", alice).json
        rest = site.get(f"{path}&limit=2&cursor={first['next_cursor']}", alice).json
        assert [*first["data"], *rest["data"]] == data


class TestVerdicts:
    def test_are_those_of_the_last_reconciliation(self, site: Site, alice: Person) -> None:
        auditor = site.person("auditor", Role.AUDITOR)
        assert site.get("/v1/reconciliations/latest", auditor).status_code == 404
        site.wallet_of(alice, wei=5)
        site.bench.custody.reconcile()
        shown = site.get("/v1/reconciliations/latest", auditor).json
        assert shown["ok"] is True
        assert shown["block"]["number"] == site.bench.custody.chains.states()[0].final.number
        assert {"id": "INV-1", "ok": True, "violations": []} in shown["checks"]
        assert shown["ended_at"].endswith("Z")
        assert site.get("/v1/reconciliations/latest", alice).status_code == 403
