"""A peer's own virtual environment, made from its lock when it is first needed, in .bench/."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import venv
from pathlib import Path

from tests.benchmarks.harness import progress

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENTS = ROOT / ".bench"
LOCKED = ("--quiet", "--require-hashes", "--only-binary", ":all:")


def python_of(lock: str) -> Path:
    """The interpreter of the environment of requirements/<lock>.txt. Made again when the lock has changed."""
    requirements, folder = ROOT / "requirements" / f"{lock}.txt", ENVIRONMENTS / lock
    python, stamp = folder / "bin" / "python", folder / "lock.sha256"
    digest = hashlib.sha256(requirements.read_bytes()).hexdigest()
    if not stamp.is_file() or stamp.read_text("utf-8") != digest:
        progress(f"making the environment of {lock} (hashes checked)")
        shutil.rmtree(folder, ignore_errors=True)
        venv.create(folder, with_pip=True)
        _install(python, requirements)
        stamp.write_text(digest, "utf-8")
    return python


def _install(python: Path, requirements: Path) -> None:
    # uv is the faster one; pip knows what the machine's pip configuration says, a private mirror for one.
    by_uv = [sys.executable, "-m", "uv", "pip", "install", "--python", str(python), *LOCKED, "-r", str(requirements)]
    if subprocess.run(by_uv, check=False).returncode != 0:
        progress("uv could not install; trying pip (slower)")
        by_pip = [str(python), "-m", "pip", "--disable-pip-version-check", "install", *LOCKED, "-r", str(requirements)]
        subprocess.run(by_pip, check=True)
