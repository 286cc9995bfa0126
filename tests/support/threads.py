"""Code that many threads run at once, in a process of its own: where it crashes, only that process does."""

import subprocess
import sys
from textwrap import dedent

THREADS = 8
TIMEOUT_S = 100

FRAME = """
import faulthandler, sys, threading

faulthandler.enable()
sys.setswitchinterval(1e-6)
{setup}

def at_once(work):
    ready = threading.Barrier({threads})

    def run():
        ready.wait()
        work()

    running = [threading.Thread(target=run) for _ in range({threads})]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()

for number in range({rounds}):
    at_once(prepared(number))
"""


def run_at_once(setup: str, *, rounds: int) -> subprocess.CompletedProcess[str]:
    """Runs `prepared(number)()` in many threads at once, for each of `rounds` numbers. `setup` defines `prepared`."""
    script = FRAME.format(setup=dedent(setup), threads=THREADS, rounds=rounds)
    path = "import sys; sys.path[:] = " + repr(sys.path) + "\n"
    return subprocess.run(
        [sys.executable, "-c", path + script], capture_output=True, encoding="utf-8", check=False, timeout=TIMEOUT_S
    )
