"""What the repository's files may and must say."""

import hashlib
import json
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.support import contracts

ROOT = Path(__file__).resolve().parents[3]

# Written with character classes, so that this file does not match itself.
DOWNLOAD_HOST = re.compile(
    r"py[p]i\.org|python[h]osted\.org|registry\.np[m]js|registry\.yarn[p]kg|(?:deb|security)\.deb[i]an\.org"
    r"|proxy\.gola[n]g|static\.crate[s]\.io|gh[c]r\.io|docke[r]\.io",
)
LOCAL_PATH = re.compile(r"(?<![\w.~}])/(?:root|work|Users|home/\w+)/[\w.]")
PIP_SOURCE_OPTION = re.compile(r"^\s*(?:-i|-f|--(?:extra-)?index-url|--find-links|--trusted-host)\b", re.MULTILINE)
REQUIREMENT_NAME = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)")


def repository_files() -> list[Path]:
    """What is committed, or would be by `git add`."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
    paths = (ROOT / name for name in listed.stdout.decode().split("\0") if name)
    return [path for path in paths if path.is_file()]


def lines_matching(pattern: re.Pattern[str]) -> list[str]:
    found = []
    for path in repository_files():
        text = path.read_bytes().decode("utf-8", errors="replace")
        if pattern.search(text) is None:
            continue
        numbered = enumerate(text.splitlines(), start=1)
        found += [f"{path.relative_to(ROOT)}:{number}" for number, line in numbered if pattern.search(line)]
    return found


def test_no_file_names_a_download_host() -> None:
    assert lines_matching(DOWNLOAD_HOST) == []


def test_no_file_names_a_path_of_somebodys_machine() -> None:
    assert lines_matching(LOCAL_PATH) == []


# Dependencies and their locks


def project() -> dict[str, Any]:
    table: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    return table


def name_of(requirement: str) -> str:
    found = REQUIREMENT_NAME.match(requirement)
    assert found, requirement
    return found.group(1).lower()


def runtime_packages() -> list[str]:
    """Those of the bare install and of every extra that is not for developing only."""
    extras = project()["optional-dependencies"]
    requirements = project()["dependencies"] + [r for name in extras if name != "dev" for r in extras[name]]
    return sorted({name_of(requirement) for requirement in requirements} - {"custody-core"})


def locked(lock: str) -> dict[str, str]:
    text = (ROOT / "requirements" / f"{lock}.txt").read_text("utf-8")
    return dict(re.findall(r"^([a-z0-9.-]+)==(\S+)", text, re.MULTILINE))


@pytest.mark.parametrize("package", runtime_packages())
def test_every_runtime_dependency_has_its_reason_in_a_decision_record(package: str) -> None:
    records = "\n".join(path.read_text("utf-8") for path in (ROOT / "docs" / "adr").glob("*.md")).lower()
    is_mentioned = re.search(rf"(?<![\w-]){re.escape(package)}(?![\w-])", records) is not None
    assert is_mentioned, f"no record in docs/adr/ mentions {package}"


@pytest.mark.parametrize("lock", ["bench", "build", "dev", "node", "runtime", "service"])
def test_every_locked_package_is_pinned_by_hash_and_by_no_source(lock: str) -> None:
    text = (ROOT / "requirements" / f"{lock}.txt").read_text("utf-8")
    assert PIP_SOURCE_OPTION.search(text) is None
    blocks = re.split(r"(?m)^(?=[a-z0-9])", text)[1:]
    assert [block.split()[0] for block in blocks if "==" not in block or "--hash=sha256:" not in block] == []
    assert len(blocks) == len(locked(lock))


def test_the_locks_agree_with_the_project_and_with_each_other() -> None:
    runtime, dev = locked("runtime"), locked("dev")
    assert {name_of(requirement) for requirement in project()["dependencies"]} <= runtime.keys()
    development = {name_of(requirement) for requirement in project()["optional-dependencies"]["dev"]}
    assert development - {"custody-core"} <= dev.keys()
    assert {name: dev.get(name) for name in runtime} == runtime
    service = locked("service")
    assert {name_of(each) for extra in ("http", "postgres") for each in project()["optional-dependencies"][extra]} <= service.keys()
    assert runtime.keys() <= service.keys()
    assert {name: dev.get(name) for name in service} == service


@pytest.mark.parametrize("tool", ["devnode", "hardhat", "contracts"])
def test_every_npm_package_is_pinned_by_sha512_and_by_no_source(tool: str) -> None:
    lock = json.loads((ROOT / "tools" / tool / "package-lock.json").read_text("utf-8"))
    packages = {name: entry for name, entry in lock["packages"].items() if name}
    assert packages
    assert [name for name, entry in packages.items() if not entry["integrity"].startswith("sha512-")] == []
    assert [name for name, entry in packages.items() if "resolved" in entry] == []


def test_the_compiled_contracts_are_those_of_the_sources() -> None:
    sources = {path.stem: hashlib.sha256(path.read_bytes()).hexdigest() for path in contracts.ARTEFACT.parent.glob("*.sol")}
    compiled = {name: artefact["source_sha256"] for name, artefact in contracts.artefacts().items()}
    assert compiled == sources, "next step: make contracts"
