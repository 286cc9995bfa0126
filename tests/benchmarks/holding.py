"""P4: the memory that 10 million managed addresses take in a scanner. Megabytes, as resident memory grows.

Ours is the follower of P2 on the store in memory, which learns 10 million addresses of strangers from pages of rows, and then scans
60 blocks for its 1,000 own ones: exactly the true deposits have to be found. `ours_peak` is how far memory had grown at most while
they were loaded and the blocks scanned, `ours_scan_ms` the CPU time of a block then, `ours_load_s` the time to take them in. The
peer is a set of strings in a process of its own, the limit 8 bytes for each. Each is measured once: memory does not waver.
"""

from __future__ import annotations

import sys
from pathlib import Path

from tests.benchmarks.harness import Result, progress, rounded
from tests.benchmarks.replay.client import Replay
from tests.benchmarks.worker import Worker

ADDRESSES = 10_000_000
BLOCKS = 60
LIMIT_MB = 8 * ADDRESSES / 1e6


def run() -> Result:
    with Replay(BLOCKS) as replay, Worker(Path(sys.executable), "scanner") as ours:
        ours.ask("prepare", **replay.known)
        told = ours.ask("scan_in_a_crowd", url=replay.near_url, blocks=BLOCKS, crowd=ADDRESSES)
    progress(f"P4 ours {told}")
    with Worker(Path(sys.executable), "strings") as peer:
        peer_mb = peer.ask("hold", count=ADDRESSES)
    progress(f"P4 peer {peer_mb:.4g}")
    return Result(
        id="P4",
        name="hold 10 million managed addresses",
        ours=rounded(told["held_mb"]),
        peer=rounded(peer_mb),
        limit=LIMIT_MB,
        ratio_to_peer=rounded(peer_mb / told["held_mb"]),
        ratio_to_limit=rounded(told["held_mb"] / LIMIT_MB),
        unit="MB",
        runs=1,
        more={
            "ours_peak": rounded(told["peak_mb"]),
            "ours_scan_ms": rounded(told["scan_ms"]),
            "ours_load_s": rounded(told["load_s"]),
        },
    )
