"""The second node wants a newer Node than many machines have, and never takes an older one."""

from pathlib import Path

import pytest

from tools.hardhat import install
from tools.hardhat.lock import trimmed


@pytest.mark.parametrize(
    ("version", "is_taken"), [("v22.13.0", True), ("v24.1.0", True), ("v22.12.9", False), ("v20.20.2", False), ("?", False)]
)
def test_only_a_node_that_is_new_enough_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str, is_taken: bool
) -> None:
    monkeypatch.setattr(install, "NODE", tmp_path / "nothing")
    program = tmp_path / "node"
    program.write_text(f"#!/bin/sh\necho {version}\n")
    program.chmod(0o755)
    assert install.find_node({"PATH": str(tmp_path)}) == (program if is_taken else None)


def test_the_lock_names_no_other_platform_and_no_host() -> None:
    packages = {
        "": {"dependencies": {"a": "1"}},
        "node_modules/a": {
            "resolved": "https://host/a.tgz",
            "integrity": "sha512-x",
            "funding": {"url": "https://host"},
            "optionalDependencies": {"a-linux": "1", "a-win": "1", "a-nowhere": "1"},
        },
        "node_modules/a-linux": {"os": ["linux"], "cpu": ["x64"], "integrity": "sha512-y"},
        "node_modules/a-win": {"os": ["win32"], "integrity": "sha512-z"},
    }
    lock = trimmed({"lockfileVersion": 3, "packages": packages})
    assert lock["packages"] == {
        "": {"dependencies": {"a": "1"}},
        "node_modules/a": {"integrity": "sha512-x", "optionalDependencies": {"a-linux": "1"}},
        "node_modules/a-linux": {"os": ["linux"], "cpu": ["x64"], "integrity": "sha512-y"},
    }
