"""python -m tests.benchmarks [P1,P5] [--write] [--database-url URL]"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence

from tests.benchmarks import accepting, asking, depositing, holding, latency, page, reading, scanning, sends, signing, starting
from tests.benchmarks.harness import Result


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description="Measures the service beside its peers.")
    parser.add_argument("only", nargs="?", default="", help="ids, separated by commas; all without")
    parser.add_argument("--write", action="store_true", help="put the results into docs/benchmarks.md")
    parser.add_argument("--database-url", help="an empty database for P5; a PostgreSQL of its own without")
    given = parser.parse_args(arguments)
    benchmarks: dict[str, Callable[[], Result]] = {
        "P1": signing.run,
        "P2": scanning.run,
        "P3": scanning.run_far,
        "P4": holding.run,
        "P5": lambda: sends.run(given.database_url),
        "P6": accepting.run,
        "P7": reading.run,
        "P8": depositing.run,
        "P9": starting.run,
        "P11": latency.run,
        "P12": asking.run,
    }
    wanted = [name.strip().upper() for name in given.only.split(",") if name.strip()] or list(benchmarks)
    if unknown := [name for name in wanted if name not in benchmarks]:
        parser.error(f"no benchmark {', '.join(unknown)}; there are {', '.join(benchmarks)}")
    for name in wanted:
        result = benchmarks[name]()
        sys.stdout.write(result.line() + "\n")
        sys.stdout.flush()
        if given.write:
            page.write(result)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
