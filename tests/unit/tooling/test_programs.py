"""The set-up programs say what is wrong and what to do next, and change nothing when they cannot go on."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tools.devnode.install import INSTALLED, find_anvil

ROOT = Path(__file__).resolve().parents[3]


def run(*command: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **variables}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=60)


def test_setup_without_a_usable_python_names_the_next_step() -> None:
    done = run(ROOT / "tools" / "setup.sh", "environment", PYTHON="/bin/false")
    assert done.returncode == 1
    assert "no Python 3.11 or newer found as PYTHON=/bin/false" in done.stderr
    assert "next step: install one" in done.stderr


def test_setup_refuses_an_unknown_step() -> None:
    done = run(ROOT / "tools" / "setup.sh", "everything")
    assert (done.returncode, done.stdout) == (1, "")
    assert "next step: run: make setup" in done.stderr


def test_the_dev_chain_installer_refuses_an_anvil_that_does_not_run() -> None:
    done = run(sys.executable, ROOT / "tools" / "devnode" / "install.py", CUSTODY_ANVIL="/bin/false")
    assert (done.returncode, done.stdout) == (1, "")
    assert "/bin/false does not run; next step" in done.stderr


def test_a_named_anvil_goes_before_the_installed_one(tmp_path: Path) -> None:
    assert find_anvil({"CUSTODY_ANVIL": str(tmp_path / "anvil")}) == tmp_path / "anvil"


def test_an_anvil_on_the_path_is_the_last_resort(tmp_path: Path) -> None:
    program = tmp_path / "anvil"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    assert find_anvil({"PATH": str(tmp_path)}) == (INSTALLED if INSTALLED.is_file() else program)


@pytest.mark.parametrize(("ci", "outcome", "code"), [("", "1 skipped", 0), ("true", "1 failed", 1)])
def test_a_skip_is_loud_and_a_failure_in_ci(tmp_path: Path, ci: str, outcome: str, code: int) -> None:
    (tmp_path / "test_it.py").write_text("import pytest\ndef test_it():\n    pytest.skip('the frobnicator is missing')\n")
    command = [sys.executable, "-m", "pytest", "-rs", "-p", "tests.conftest", "-p", "no:cacheprovider", "-c", os.devnull]
    done = run(*command, f"--rootdir={tmp_path}", tmp_path, CI=ci, PYTHONPATH=str(ROOT))
    assert done.returncode == code, done.stdout
    assert outcome in done.stdout
    assert "the frobnicator is missing" in done.stdout
