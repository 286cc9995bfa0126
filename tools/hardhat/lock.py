"""Writes package-lock.json anew from package.json: for Linux on x86-64, with hashes and without places to download from.

Run it with the Node that `make node` installed (.tools/node/bin on PATH) after changing a version in package.json.
"""

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
PLATFORM = {"os": "linux", "cpu": "x64", "libc": "glibc"}
LEFT_OUT = ("resolved", "funding")
DEPENDENCIES = ("dependencies", "optionalDependencies")


def fresh_lock(npm: str) -> dict[str, Any]:
    """The lock as npm writes it."""
    with tempfile.TemporaryDirectory() as folder:
        shutil.copyfile(HERE / "package.json", Path(folder) / "package.json")
        subprocess.run(
            [npm, "install", "--package-lock-only", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=folder, check=True
        )
        lock: dict[str, Any] = json.loads((Path(folder) / "package-lock.json").read_text("utf-8"))
    return lock


def is_for_us(package: dict[str, Any]) -> bool:
    return all(value in package.get(field, [value]) for field, value in PLATFORM.items())


def trimmed(lock: dict[str, Any]) -> dict[str, Any]:
    """Without other platforms' packages, some of which no lock of one machine knows, and without hosts."""
    packages = {path: package for path, package in lock["packages"].items() if is_for_us(package)}
    names = {path.rpartition("node_modules/")[2] for path in packages}
    for package in packages.values():
        for field in LEFT_OUT:
            package.pop(field, None)
        for field in DEPENDENCIES:
            if field in package:
                package[field] = {name: version for name, version in package[field].items() if name in names}
    return {**lock, "packages": packages}


def main() -> int:
    npm = shutil.which("npm")
    if npm is None:
        print("there is no npm; next step: run make node, then PATH=.tools/node/bin:$PATH", file=sys.stderr)
        return 1
    text = json.dumps(trimmed(fresh_lock(npm)), indent=2) + "\n"
    (HERE / "package-lock.json").write_text(text, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
