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
SOURCE_ONLY = {"bench-etl": ("ethereum-etl", "parsimonious", "python-baseconv", "varint", "websockets")}
"""Lock → the packages in it that are published as source alone. They are built with the project's own locked build tools."""


def python_of(lock: str) -> Path:
    """The interpreter of the environment of requirements/<lock>.txt. Made again when the lock has changed."""
    requirements, folder = ROOT / "requirements" / f"{lock}.txt", ENVIRONMENTS / lock
    python, stamp = folder / "bin" / "python", folder / "lock.sha256"
    digest = hashlib.sha256(requirements.read_bytes()).hexdigest()
    if not stamp.is_file() or stamp.read_text("utf-8") != digest:
        progress(f"making the environment of {lock} (hashes checked)")
        shutil.rmtree(folder, ignore_errors=True)
        venv.create(folder, with_pip=True)
        built = [word for package in SOURCE_ONLY.get(lock, ()) for word in ("--no-binary", package)]
        if built:
            _install(python, ROOT / "requirements" / "build.txt")
        _install(python, requirements, *built, *(["--no-build-isolation"] if built else []))
        stamp.write_text(digest, "utf-8")
    return python


def _install(python: Path, requirements: Path, *options: str) -> None:
    # uv is the faster one; pip knows what the machine's pip configuration says, a private mirror for one.
    by_uv = [sys.executable, "-m", "uv", "pip", "install", "--python", str(python), *LOCKED, *options, "-r", str(requirements)]
    if subprocess.run(by_uv, check=False).returncode != 0:
        progress("uv could not install; trying pip (slower)")
        by_pip = [str(python), "-m", "pip", "--disable-pip-version-check", "install", *LOCKED, *options, "-r", str(requirements)]
        subprocess.run(by_pip, check=True)
