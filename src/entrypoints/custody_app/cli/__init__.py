"""The command line, `custody <noun> <verb>`.

Rules of this package

1. Data goes to stdout, talk to stderr. `--json` prints the public form of a resource, the same that HTTP answers.
2. Exit codes are chosen in `exits.py`, once.
3. A command holds no key material unless it must (`init`, `scanner`), and asks no node unless it must.
4. Secrets never come by the command line: other users of the machine can read it.
"""

from __future__ import annotations

import sys

from custody_app.loading import loading


def main() -> None:
    """The console script `custody`."""
    with loading():
        from custody_app.cli.program import run  # noqa: PLC0415 - importing the package starts nothing

    sys.exit(run(sys.argv[1:]))
