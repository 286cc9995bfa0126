"""Compiles tests/support/contracts/*.sol into contracts.json: the same bytes every time.

Per contract: abi, bytecode, and the hash of the source, by which a test knows that the artefact is up to date.

The compiler is solc, the version that package-lock.json beside this file pins; it is installed into a folder that is
thrown away afterwards. Needed only when a contract changes: the tests read the committed contracts.json.
"""

import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
CONTRACTS = HERE.parent.parent / "tests" / "support" / "contracts"
SETTINGS = {
    "evmVersion": "prague",
    "optimizer": {"enabled": True, "runs": 200},
    "metadata": {"appendCBOR": False},  # its hash would change with every comment
    "outputSelection": {"*": {"*": ["abi", "evm.bytecode.object"]}},
}


class CompileError(Exception):
    """The contracts cannot be compiled; the message says why."""


def standard_input(sources: list[Path]) -> dict[str, Any]:
    return {
        "language": "Solidity",
        "sources": {source.name: {"content": source.read_text("utf-8")} for source in sources},
        "settings": SETTINGS,
    }


def run_solc(request: dict[str, Any]) -> dict[str, Any]:
    npm, node = shutil.which("npm"), shutil.which("node")
    if npm is None or node is None:
        raise CompileError("npm is missing; next step: install Node.js 20 or newer with npm")
    with tempfile.TemporaryDirectory() as folder:
        for name in ("package.json", "package-lock.json"):
            shutil.copyfile(HERE / name, Path(folder) / name)
        subprocess.run([npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"], cwd=folder, check=True)
        solc = [node, "node_modules/solc/solc.js", "--standard-json"]
        answer = subprocess.run(solc, cwd=folder, input=json.dumps(request), capture_output=True, text=True, check=True)
    # solcjs may print a line about itself before the JSON.
    parsed: dict[str, Any] = json.loads(answer.stdout[answer.stdout.index("{") :])
    return parsed


def artefacts(output: dict[str, Any]) -> dict[str, Any]:
    errors = [error["formattedMessage"] for error in output.get("errors", []) if error["severity"] == "error"]
    if errors:
        raise CompileError("\n".join(errors))
    return {
        name: {
            "abi": contract["abi"],
            "bytecode": "0x" + contract["evm"]["bytecode"]["object"],
            "source_sha256": hashlib.sha256((CONTRACTS / file).read_bytes()).hexdigest(),
        }
        for file, contracts in output["contracts"].items()
        for name, contract in contracts.items()
    }


def main() -> int:
    try:
        compiled = artefacts(run_solc(standard_input(sorted(CONTRACTS.glob("*.sol")))))
    except (CompileError, subprocess.CalledProcessError) as error:
        print(f"contracts: {error}", file=sys.stderr)
        return 1
    target = CONTRACTS / "contracts.json"
    target.write_text(json.dumps(compiled, indent=1, sort_keys=True) + "\n", "utf-8")
    print(f"contracts: {len(compiled)} compiled into {target.relative_to(CONTRACTS.parent.parent.parent)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
