"""Every refusal has one status and one shape, and no answer tells what is nobody's business (A-20)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from werkzeug.exceptions import BadRequest, NotFound, RequestEntityTooLarge

from custody_core import Conflict, Custody, InsufficientFunds, InvalidAddress, OutcomeUnknown, PolicyDenied, errors
from custody_core.errors import CustodyError
from custody_http.errors import STATUS_BY_CODE, problem_of
from tests.unit.http.site import Site

MEMBERS = {"type", "title", "status", "detail", "instance", "code", "request_id", "errors"}
ONLY_ELSEWHERE = {"internal", "timed-out", "key-integrity"}
"""What a client over HTTP never causes: waiting is the library's, keys are not in this process."""


def kinds(of: type[CustodyError] = CustodyError) -> Iterator[type[CustodyError]]:
    for kind in of.__subclasses__():
        if kind.__module__ in {errors.__name__, "custody_http.errors"}:
            yield kind
        yield from kinds(kind)


@pytest.mark.parametrize("kind", list(dict.fromkeys(kinds())))
def test_every_code_has_a_status_and_the_shape_of_a_problem(kind: type[CustodyError]) -> None:
    problem = problem_of(kind("a sentence", pointer="/to"))
    document = problem.document(instance="/v1/x", request_id="r")
    assert set(document) == MEMBERS
    assert document["status"] == problem.status
    if kind.code in ONLY_ELSEWHERE:
        assert (problem.status, problem.code) == (500, "internal")
        assert "a sentence" not in json.dumps(document)
    else:
        assert problem.status == STATUS_BY_CODE[kind.code]
        assert (document["code"], document["detail"]) == (kind.code, "a sentence")
        assert document["errors"] == [{"pointer": "/to", "detail": "a sentence"}]
        assert document["type"] == f"urn:custody:problem:{kind.code}"


def test_the_documented_statuses_are_the_statuses() -> None:
    page = (Path(__file__).parents[3] / "docs" / "reference" / "errors.md").read_text("utf-8")
    page = page[page.index("## Over HTTP") :].replace("\n  ", " ")
    documented = {
        code: int(status)
        for status, codes in re.findall(
            r"(?:^\* |\. )(\d{3})(?:, with `Retry-After`)?: ((?:`[a-z-]+`(?:, )?)+)", page, re.MULTILINE
        )
        for code in re.findall(r"`([a-z-]+)`", codes)
    }
    documented |= {code: int(status) for code, status in re.findall(r"^\| `([a-z-]+)` \| (\d{3}) ", page, re.MULTILINE)}
    assert documented == dict(STATUS_BY_CODE)


def test_an_errors_own_values_stand_beside_and_never_in_place_of_the_members() -> None:
    denied = PolicyDenied("no", transaction_id="txn_1", rules=("a", "b"))
    document = problem_of(denied).document(instance="", request_id="r")
    assert (document["transaction_id"], document["rules"]) == ("txn_1", ("a", "b"))
    short = problem_of(InsufficientFunds("no", available="1", required="2")).document(instance="", request_id="r")
    assert (short["available"], short["required"]) == ("1", "2")
    assert (
        problem_of(InvalidAddress("no", rule="address-format", status=200, code="x")).document(instance="", request_id="r")[
            "status"
        ]
        == 422
    )


def test_headers_that_go_with_a_status() -> None:
    assert problem_of(errors.Unauthenticated("no")).headers["WWW-Authenticate"].startswith("Bearer")
    assert 'scope="audit:read"' in problem_of(errors.InsufficientScope("no", scope="audit:read")).headers["WWW-Authenticate"]
    assert problem_of(errors.NodeUnavailable("no")).headers["Retry-After"] == "1"
    assert problem_of(OutcomeUnknown("no")).status == 503
    assert problem_of(Conflict("no")).status == 409


def test_what_flask_refuses_by_itself_has_the_same_shape() -> None:
    assert [problem_of(error).status for error in (NotFound(), BadRequest(), RequestEntityTooLarge())] == [404, 400, 413]
    assert problem_of(BadRequest("see /etc/passwd")).detail == "the request is not well-formed"


@pytest.mark.parametrize(
    "error", [ValueError("secret ck_abc /home/x SELECT"), KeyError("x"), errors.BrokenInvariant("row 7"), RecursionError()]
)
def test_a_500_says_nothing_and_the_log_says_where(site: Site, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def broken(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(type(site.bench.custody.wallets), "list", broken)
    answer = site.get("/v1/wallets", site.person("alice"))
    assert answer.status_code == 500
    assert answer.mimetype == "application/problem+json"
    assert answer.json["code"] == "internal"
    told = answer.get_data(as_text=True) + json.dumps(site.lines)
    for secret in ("ck_abc", "/home/x", "SELECT", "row 7", "Traceback"):
        assert secret not in told
    (line,) = [each for each in site.lines if each["event"] == "internal-error"]
    assert (line["type"], line["level"]) == (type(error).__name__, "error")
    assert line["request_id"] == answer.json["request_id"]
    assert "in broken" in line["where"] or "broken" in line["where"]


def test_nothing_that_a_client_sent_in_secret_is_repeated(site: Site) -> None:
    alice = site.person("alice")
    canary = "canary" * 5
    site.call("GET", f"/v1/wallets/{canary}?{canary}={canary}", alice, headers={"Cookie": canary, "X-Request-Id": f"{canary} \t"})
    site.call("POST", f"/{canary}", headers={"Authorization": f"Bearer {canary}"}, data=canary)
    site.call("POST", "/v1/wallets", alice, json={"label": canary}, headers={"Idempotency-Key": canary})
    site.call("POST", "/v1/wallets", alice, data=canary, content_type="application/json")
    logged = json.dumps(site.lines)
    assert canary not in logged
    assert alice.secret not in logged
    assert len(site.lines) == 4


def test_a_database_that_goes_away_is_a_503(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    alice = site.person("alice")

    def gone(*_: object, **__: object) -> None:
        raise errors.DatabaseUnavailable("the database went away")

    monkeypatch.setattr(Custody, "api_keys", property(gone), raising=False)
    monkeypatch.setattr(type(site.bench.custody.wallets), "list", gone)
    answer = site.get("/v1/wallets", alice)
    assert (answer.status_code, answer.json["code"], answer.headers["Retry-After"]) == (503, "database-unavailable", "1")
