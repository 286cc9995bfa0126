"""P2: scan a mainnet-like block: 200 transactions, 500 logs, 250 of them transfers, 200 of listed tokens. CPU time of one.

A seeded server replays the blocks (`replay/`), in a process of its own and from ready-made bytes. Ours is the whole follower, as
`custody scanner` runs it, from the first block to the head, over JSON-RPC, with every check on but traces not asked for, into the
store in memory; `ours_sqlite` writes to a SQLite file and syncs every commit, and `ours_peak_mb` is its process's memory. 1,000
addresses are managed and 12 tokens listed. In every 60 blocks are 20 deposits of ether and 20 of tokens among 80 that only look
like one, and whoever does not find exactly those fails. The peer is web3.py: `get_block` with all transactions, `get_logs` of the
listed tokens' transfers, and the receipts of what matches. `peer_naive` is requests and json over blocks and their receipts,
`peer_etl` ethereum-etl with one worker, which exports blocks, transactions, receipts and logs and looks for nothing. No peer stores
a deposit. The limit fetches the blocks and logs that ours does, in batches of the same size, and parses them with orjson, no more.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import attrs

from custody_rpc.questions import FULL_BLOCKS_PER_BATCH_MAX
from tests.benchmarks.environments import python_of
from tests.benchmarks.harness import Result, interleaved, median, ratio, rounded, spread
from tests.benchmarks.replay.client import DELAY_MS, Replay
from tests.benchmarks.worker import Worker

ROUNDS = 5
BLOCKS, FAR_BLOCKS = 240, 480
PEER_BLOCKS, FAR_PEER_BLOCKS = 60, 20


@attrs.frozen
class Scanners:
    """Ours, the peers and the limit before one replayed chain."""

    replay: Replay
    ours: Worker
    peers: Worker

    def scan(self, store: str, url: str) -> Mapping[str, float]:
        """Ours, the whole chain."""
        told: Mapping[str, float] = self.ours.ask("scan", url=url, blocks=self.replay.blocks, store=store)
        return told

    def peer(self, name: str, url: str, blocks: int, **more: int) -> Mapping[str, float]:
        """A function of `peers/scanning.py`."""
        told: Mapping[str, float] = self.peers.ask(name, url=url, blocks=blocks, **more)
        return told


def run() -> Result:
    with _scanners(BLOCKS) as scanners, Worker(python_of("bench-etl"), "exporting") as etl:
        url, peak_mb = scanners.replay.near_url, dict[str, float]()

        def ours(store: str) -> float:
            told = scanners.scan(store, url)
            peak_mb[store] = told["peak_mb"]
            return _cpu_ms(told, BLOCKS)

        variants: dict[str, Callable[[], float]] = {
            "ours": lambda: ours("memory"),
            "limit": lambda: _cpu_ms(scanners.peer("limit", url, BLOCKS, batch=FULL_BLOCKS_PER_BATCH_MAX), BLOCKS),
            "ours_sqlite": lambda: ours("sqlite"),
            "peer": lambda: _cpu_ms(scanners.peer("web3", url, PEER_BLOCKS), PEER_BLOCKS),
            "peer_naive": lambda: _cpu_ms(scanners.peer("naive", url, PEER_BLOCKS), PEER_BLOCKS),
            "peer_etl": lambda: _cpu_ms(etl.ask("export", url=url, blocks=PEER_BLOCKS), PEER_BLOCKS),
        }
        rounds = interleaved("P2", variants, rounds=ROUNDS)
    others = ("peer_naive", "peer_etl")
    return Result(
        id="P2",
        name="scan a block, CPU",
        ours=median(rounds, "ours"),
        peer=median(rounds, "peer"),
        limit=median(rounds, "limit"),
        ratio_to_peer=ratio(rounds, "peer", "ours"),
        ratio_to_limit=ratio(rounds, "ours", "limit"),
        unit="ms/block",
        runs=ROUNDS,
        more={
            "rounds_to_peer": spread(rounds, "peer", "ours"),
            "rounds_to_limit": spread(rounds, "ours", "limit"),
            "ours_sqlite": median(rounds, "ours_sqlite"),
            "ratio_to_peer_sqlite": ratio(rounds, "peer", "ours_sqlite"),
            "ratio_to_limit_sqlite": ratio(rounds, "ours_sqlite", "limit"),
            **{name: median(rounds, name) for name in others},
            **{f"ratio_to_{name}": ratio(rounds, name, "ours") for name in others},
            "ours_peak_mb": rounded(peak_mb["sqlite"]),
        },
    )


def run_far() -> Result:
    with _scanners(FAR_BLOCKS) as scanners:
        url = scanners.replay.far_url
        variants: dict[str, Callable[[], float]] = {
            "ours": lambda: FAR_BLOCKS / scanners.scan("sqlite", url)["wall_s"],
            "peer": lambda: FAR_PEER_BLOCKS / scanners.peer("web3", url, FAR_PEER_BLOCKS)["wall_s"],
            "peer_naive": lambda: FAR_PEER_BLOCKS / scanners.peer("naive", url, FAR_PEER_BLOCKS)["wall_s"],
        }
        rounds = interleaved("P3", variants, rounds=ROUNDS)
    return Result(
        id="P3",
        name=f"catch up with the node {DELAY_MS} ms away",
        ours=median(rounds, "ours"),
        peer=median(rounds, "peer"),
        limit=None,
        ratio_to_peer=ratio(rounds, "ours", "peer"),
        ratio_to_limit=None,
        unit="blocks/s",
        runs=ROUNDS,
        more={
            "rounds_to_peer": spread(rounds, "ours", "peer"),
            "peer_naive": median(rounds, "peer_naive"),
            "ratio_to_peer_naive": ratio(rounds, "ours", "peer_naive"),
        },
    )


run_far.__doc__ = f"""P3: catch up with a node {DELAY_MS} ms away. Blocks a second.

As P2, from a server that waits {DELAY_MS} ms before each answer: ours on SQLite over {FAR_BLOCKS} blocks, web3.py and the naive
loop (`peer_naive`) over {FAR_PEER_BLOCKS}, since their pace is the same from the first block on.
"""


@contextmanager
def _scanners(blocks: int) -> Iterator[Scanners]:
    with ExitStack() as stack:
        replay = stack.enter_context(Replay(blocks))
        ours = stack.enter_context(Worker(Path(sys.executable), "scanner"))
        peers = stack.enter_context(Worker(python_of("bench"), "scanning"))
        for worker in (ours, peers):
            worker.ask("prepare", **replay.known)
        yield Scanners(replay, ours, peers)


def _cpu_ms(told: Mapping[str, float], blocks: int) -> float:
    return told["cpu_s"] / blocks * 1000
