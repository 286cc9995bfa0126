"""P2 with ethereum-etl: blocks and transactions, then receipts and logs, exported to CSV by its own jobs in one worker."""

from __future__ import annotations

import inspect
import tempfile
import time
import warnings
from pathlib import Path

from tests.benchmarks.peers.serving import serve

warnings.simplefilter("ignore")
if not hasattr(inspect, "getargspec"):  # its dependencies are from before Python 3.11 took it away
    inspect.getargspec = inspect.getfullargspec  # type: ignore[attr-defined]

from ethereumetl.jobs.export_blocks_job import ExportBlocksJob  # type: ignore[import-not-found]  # noqa: E402
from ethereumetl.jobs.export_receipts_job import ExportReceiptsJob  # type: ignore[import-not-found]  # noqa: E402
from ethereumetl.jobs.exporters.blocks_and_transactions_item_exporter import (  # type: ignore[import-not-found]  # noqa: E402
    blocks_and_transactions_item_exporter,
)
from ethereumetl.jobs.exporters.receipts_and_logs_item_exporter import (  # type: ignore[import-not-found]  # noqa: E402
    receipts_and_logs_item_exporter,
)
from ethereumetl.providers.auto import get_provider_from_uri  # type: ignore[import-not-found]  # noqa: E402
from ethereumetl.thread_local_proxy import ThreadLocalProxy  # type: ignore[import-not-found]  # noqa: E402

BATCH = 100


def export(url: str, blocks: int) -> dict[str, float]:
    """Blocks 1 to `blocks`, all that there is in them; its seconds and seconds of processor time."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        transactions = folder / "transactions.csv"
        started = time.perf_counter(), time.process_time()
        ExportBlocksJob(
            start_block=1,
            end_block=blocks,
            batch_size=BATCH,
            batch_web3_provider=ThreadLocalProxy(lambda: get_provider_from_uri(url, batch=True)),
            max_workers=1,
            item_exporter=blocks_and_transactions_item_exporter(str(folder / "blocks.csv"), str(transactions)),
        ).run()
        with transactions.open() as lines:
            at = next(lines).rstrip().split(",").index("hash")
            hashes = [line.split(",")[at] for line in lines]
        ExportReceiptsJob(
            transaction_hashes_iterable=hashes,
            batch_size=BATCH,
            batch_web3_provider=ThreadLocalProxy(lambda: get_provider_from_uri(url, batch=True)),
            max_workers=1,
            item_exporter=receipts_and_logs_item_exporter(str(folder / "receipts.csv"), str(folder / "logs.csv")),
            export_receipts=True,
            export_logs=True,
        ).run()
        took_s, cpu_s = time.perf_counter() - started[0], time.process_time() - started[1]
        with (folder / "logs.csv").open() as lines:
            if sum(1 for _ in lines) < 2:
                raise AssertionError("no logs were exported")
    return {"wall_s": took_s, "cpu_s": cpu_s}


if __name__ == "__main__":
    serve({"export": export})
