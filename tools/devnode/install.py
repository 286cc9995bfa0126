"""Installs the dev chain: anvil, the version that package-lock.json pins, into .tools; prints where the program lies.

It runs `npm ci` on the lock (sha512-checked, install scripts off). Where npm is missing or too old, it first installs
the npm that requirements/node.txt pins (hash-checked) into .tools/node. It changes nothing outside .tools. A program
named by CUSTODY_ANVIL is used as it is, and nothing is installed.
"""

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
TOOLS = ROOT / ".tools"
NODE = TOOLS / "node"
INSTALLED = TOOLS / "node_modules" / "@foundry-rs" / "anvil-linux-amd64" / "bin" / "anvil"
NPM_MAJOR_MIN = 7
"""The first npm that reads lock files of version 3."""


class InstallError(Exception):
    """The dev chain cannot be installed; the message ends with the next step."""


def find_anvil(environment: Mapping[str, str]) -> Path | None:
    """The anvil to use: CUSTODY_ANVIL, else the pinned one in .tools, else one on PATH."""
    named = environment.get("CUSTODY_ANVIL")
    if named:
        return Path(named)
    if INSTALLED.is_file():
        return INSTALLED
    on_path = shutil.which("anvil", path=environment.get("PATH"))
    return Path(on_path) if on_path else None


def version_of(program: Path) -> str | None:
    """The first line of `--version`, or None where the program does not run."""
    try:
        answer = subprocess.run([program, "--version"], capture_output=True, text=True, check=True, timeout=30)
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip().partition("\n")[0]


def is_new_enough(npm: str) -> bool:
    version = version_of(Path(npm))
    major = version.partition(".")[0] if version else ""
    return major.isdecimal() and int(major) >= NPM_MAJOR_MIN


def npm_programs() -> Iterator[str]:
    """The machine's npm, if it will do; then, made only when asked for, our own."""
    npm = shutil.which("npm")
    if npm and is_new_enough(npm):
        yield npm
    print("dev chain: installing Node and npm from the lock into .tools/node (hashes checked)", file=sys.stderr)
    yield str(own_npm())


def own_npm() -> Path:
    python, npm = NODE / "bin" / "python", NODE / "bin" / "npm"
    if npm.is_file():
        return npm
    lock = ROOT / "requirements" / "node.txt"
    pip = [str(python), "-m", "pip", "--disable-pip-version-check", "--no-input", "install", "--quiet"]
    try:
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(NODE)], check=True)
        subprocess.run([*pip, "--require-hashes", "--only-binary", ":all:", "-r", str(lock)], check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise InstallError(
            "neither the machine nor the package index gave an npm; "
            "next step: install Node.js 20 or newer with npm, then run: make node",
        ) from error
    return npm


def npm_ci(npm: str, lock_folder: Path = HERE, into: Path = TOOLS) -> bool:
    """Lets npm install exactly what the lock names; says whether it did."""
    into.mkdir(parents=True, exist_ok=True)
    for name in ("package.json", "package-lock.json"):
        shutil.copyfile(lock_folder / name, into / name)
    command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error", "--no-update-notifier"]
    environment = {**os.environ, "PATH": os.pathsep.join([str(Path(npm).parent), os.environ.get("PATH", "")])}
    done = subprocess.run(command, cwd=into, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        first_lines = [line for line in done.stderr.splitlines() if line.strip()][:6]
        print("\n".join(first_lines), file=sys.stderr)
    return done.returncode == 0


def install() -> Path:
    """Makes sure that anvil is there and runs; gives its path."""
    if os.environ.get("CUSTODY_ANVIL"):
        return checked(Path(os.environ["CUSTODY_ANVIL"]))
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        found = find_anvil(os.environ)
        if found is None:
            raise InstallError(
                "the lock holds anvil for Linux on x86-64 only; next step: install Foundry's anvil yourself "
                "and put it on PATH, or name it in CUSTODY_ANVIL",
            )
        return checked(found)
    print("dev chain: installing anvil from the lock into .tools (hashes checked, no install scripts)", file=sys.stderr)
    if not any(npm_ci(npm) for npm in npm_programs()):
        raise InstallError("npm could not install anvil; next step: see npm's message above, then run: make node")
    return checked(INSTALLED)


def checked(anvil: Path) -> Path:
    version = version_of(anvil)
    if version is None:
        raise InstallError(
            f"{anvil} does not run; next step: it needs glibc 2.35 or newer (Debian 12, Ubuntu 22.04); on an older "
            "system name an anvil that runs in CUSTODY_ANVIL",
        )
    print(f"dev chain: {version}", file=sys.stderr)
    return anvil


def main() -> int:
    try:
        print(install())
    except InstallError as error:
        print(f"dev chain: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
