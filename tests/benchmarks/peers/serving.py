"""The worker's end: answers each line of stdin until it closes. Needs nothing but Python."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from typing import Any


def serve(functions: Mapping[str, Callable[..., Any]]) -> None:
    """Calls the function that each line names, with its arguments, and writes what it returns."""
    answers = sys.stdout
    sys.stdout = sys.stderr  # whatever a library prints is no answer
    for line in sys.stdin:
        asked = json.loads(line)
        answers.write(json.dumps(functions[asked["ask"]](**asked["with"])) + "\n")
        answers.flush()
