"""The documentation says what is so: links lead somewhere, and pages that list things list all of them."""

import json
import re
import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import attrs
import pytest

from custody_app import config
from custody_core.domain.access import Scope
from custody_core.domain.policy import STARTER_DOCUMENT, parse_document
from custody_http.registry import KeyRule, Route
from custody_http.routes import ROUTES
from tools.docs import commands, states

ROOT = Path(__file__).resolve().parents[3]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
REFERENCE = ROOT / "docs" / "reference"

FENCED = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```$", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
FIRST_CELL = re.compile(r"^\| (`[^|]+) \|", re.MULTILINE)
NAMED = re.compile(r"`([^`_][^`]*)`")  # `_FILE` is an ending, not a name
ERROR_CODE = re.compile(r'^    code(?:: ClassVar\[str\])? = "([a-z-]+)"$', re.MULTILINE)
ALARM_CODE = re.compile(r'raise_alarm\([^)]*?code="([a-z-]+)"')


def prose(page: Path) -> str:
    return FENCED.sub("", page.read_text("utf-8"))


def anchors(page: Path) -> set[str]:
    """The ids that GitHub gives to headings: lower case, punctuation dropped, spaces to hyphens, repeats numbered."""
    seen: Counter[str] = Counter()
    found = set()
    for heading in HEADING.findall(prose(page)):
        text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        slug = re.sub(r"[^\w\- ]", "", text).replace(" ", "-")
        found.add(f"{slug}-{seen[slug]}" if seen[slug] else slug)
        seen[slug] += 1
    return found


def broken_links(page: Path) -> Iterator[str]:
    for target in LINK.findall(prose(page)):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = unquote(target).partition("#")
        linked = (page.parent / path).resolve() if path else page
        if not linked.exists() or not linked.is_relative_to(ROOT):
            yield f"{target}: no such file"
        elif anchor and anchor not in anchors(linked):
            yield f"{target}: no such heading"


def listed(page: str) -> set[str]:
    """The names in backticks in the first cells of a page's tables."""
    text = (REFERENCE / page).read_text("utf-8")
    return {name for cell in FIRST_CELL.findall(text) for name in NAMED.findall(cell)}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    assert list(broken_links(page)) == []


def test_the_page_of_states_is_what_the_tables_say() -> None:
    assert states.PAGE.read_text("utf-8") == states.page(), "next step: make docs"


def test_the_page_of_commands_is_what_the_commands_say() -> None:
    assert commands.PAGE.read_text("utf-8") == commands.page(), "next step: make docs"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_that_is_named_exists(page: Path) -> None:
    there = {name.removeprefix("custody ") for name in re.findall(r"^### (custody .+)$", commands.page(), re.MULTILINE)}
    nouns = {name.split()[0] for name in there}
    text = page.read_text("utf-8")
    named = [each.split() for each in re.findall(r"(?:^|`)custody ([a-z-]+(?: [a-z-]+)?)", text, re.MULTILINE)]
    unknown = [each for each in named if each[0] not in nouns or (each[0] not in there and " ".join(each) not in there)]
    assert unknown == []


def test_every_error_and_alarm_code_is_explained() -> None:
    sources = [path.read_text("utf-8") for path in (ROOT / "src").rglob("*.py")]
    codes = {code for source in sources for pattern in (ERROR_CODE, ALARM_CODE) for code in pattern.findall(source)}
    assert {"insufficient-funds", "key-file", "nonce-foreign"} <= codes  # the patterns still find them
    assert codes - listed("errors.md") - {"internal"} == set()


def test_no_error_code_is_explained_that_does_not_exist() -> None:
    sources = "\n".join(path.read_text("utf-8") for path in (ROOT / "src").rglob("*.py"))
    assert {code for code in listed("errors.md") if f'"{code}"' not in sources} == set()


def test_the_page_of_settings_lists_exactly_the_settings() -> None:
    assert listed("settings.md") == {*config._READERS, *config._CHAIN_NAMES}


def test_the_page_of_http_lists_exactly_the_routes() -> None:
    def scope(route: Route) -> str:
        return f"`{route.access}`" if isinstance(route.access, Scope) else "any credentials"

    def documented(path: str) -> str:
        return re.sub(r"<(?:[a-z]+_)?([a-z]+)>", r"{\1}", path)

    keys = {KeyRule.REQUIRED: "required", KeyRule.WELCOME: "may come", KeyRule.IGNORED: ""}
    routes = [(f"{route.method} {documented(route.path)}", route.summary, scope(route), keys[route.key]) for route in ROUTES]
    text = (REFERENCE / "http.md").read_text("utf-8")
    assert re.findall(r"^\| `([A-Z]+ [^`]+)` \| ([^|]+) \| ([^|]+) \| ?([^|]*?) ?\|$", text, re.MULTILINE) == routes


def test_the_documented_defaults_are_the_defaults() -> None:
    text = (REFERENCE / "settings.md").read_text("utf-8")
    rows = dict(re.findall(r"^\| `([A-Z_]+)`[^|]*\| `([^`]+)`", text, re.MULTILINE))
    defaults = attrs.asdict(config.load_settings({}), recurse=False)
    read = {name: reader(name, rows[name]) for name, reader in config._READERS.items() if name in rows}
    assert read
    assert read == {name: defaults[name.lower()] for name in read}
    assert rows["CHAIN_ID"] == str(config.SEPOLIA_CHAIN_ID)


def python_blocks() -> list[tuple[str, str]]:
    blocks = []
    for page in PAGES:
        fenced = FENCED.findall(page.read_text("utf-8"))
        blocks += [(str(page.relative_to(ROOT)), code) for language, code in fenced if language == "python"]
    return blocks


@pytest.mark.parametrize(("page", "code"), python_blocks())
def test_every_python_example_is_python(page: str, code: str) -> None:
    compile(code, page, "exec")


def test_every_decision_is_in_the_index() -> None:
    records = {path.name for path in (ROOT / "docs" / "adr").glob("0*.md")}
    assert set(LINK.findall((ROOT / "docs" / "adr" / "README.md").read_text("utf-8"))) == records


def test_the_example_in_memory_runs() -> None:
    page = (ROOT / "docs" / "how-to" / "embed-the-library.md").read_text("utf-8")
    found = re.search(r"^```python in-memory\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    assert found
    exec(found[1], {})  # noqa: S102 - the page is ours


def test_every_dependency_has_its_reason_in_a_decision_record() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    requirements = project["project"]["dependencies"] + project["build-system"]["requires"]
    requirements += [each for extra in project["project"]["optional-dependencies"].values() for each in extra]
    names = {re.split(r"[^A-Za-z0-9._-]", requirement)[0].lower() for requirement in requirements} - {"custody-core"}
    records = "\n".join(path.read_text("utf-8") for path in (ROOT / "docs" / "adr").glob("0*.md")).lower()
    assert {name for name in names if not re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", records)} == set()


def test_the_documented_policies_are_ones_that_are_understood() -> None:
    page = (REFERENCE / "policy.md").read_text("utf-8")
    documents = [json.loads(code) for language, code in FENCED.findall(page) if language == "json"]
    assert all(parse_document(document) for document in documents)
    assert documents[-1] == STARTER_DOCUMENT
