"""A service with many wallets on two nodes, one of which lies, and a PostgreSQL of its own."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

import attrs

from custody_core import Custody, Wallet
from tests.soak.acts import Contracts
from tests.soak.liar import LyingProxy
from tests.soak.mayhem import Blocks
from tests.soak.starting import FINAL_DEPTH, NODE_ARGUMENTS, SLOTS_IN_AN_EPOCH, Database, opened, own_folder
from tests.support.devnode import DevNode
from tests.support.postgres import shared_server
from tests.support.processes import Processes
from tests.support.program import Program

DUST_WEI = 1000
CROSS_CHECK_MIN_WEI = 3 * 10**15
INVENTED_WEI = 5 * 10**15
"""What a deposit is made up of that is not: large enough for two nodes to be asked."""


@attrs.define
class Site:
    """One deployed service. `program` and `custody` ask the honest node alone, the `processes` both nodes."""

    node: DevNode
    liar: LyingProxy
    blocks: Blocks
    contracts: Contracts
    program: Program
    processes: Processes
    custody: Custody
    wallets: Sequence[Wallet]
    database: Database

    @property
    def listed(self) -> frozenset[str]:
        """The contracts that count, in lower case."""
        return frozenset(each.lower() for each in (self.contracts.good, self.contracts.noret, self.contracts.retfalse))


@contextmanager
def prepared_site(*, wallets: int, liar_is_first: bool, block_time_s: float, chance: random.Random) -> Iterator[Site]:
    """A site with empty wallets. Blocks are mined from `Blocks.__enter__` on."""
    with ExitStack() as stack:
        folder = stack.enter_context(own_folder())
        server = stack.enter_context(shared_server())
        database = Database(server, server.migrated_database())
        node = stack.enter_context(DevNode(slots_in_an_epoch=SLOTS_IN_AN_EPOCH, arguments=NODE_ARGUMENTS))
        settings = {
            "DATABASE_URL": database.url,
            "KEY_FILE": str(folder / "custody.key"),
            "RPC_URL": node.rpc_url,
            "CHAIN_ID": str(node.chain_id),
            "SCAN_INTERVAL_S": "0.25",
            "KEY_POOL_SIZE": str(wallets),
            "DUST_WEI": str(DUST_WEI),
            "RECONCILE_REQUESTS_PER_MINUTE": "120",
        }
        contracts = Contracts.deployed(node)
        with opened(settings, create=True) as custody:
            ids = _prepare(custody, node, contracts, wallets)
        custody = stack.enter_context(opened(settings))
        found = [custody.wallets.get(each) for each in ids]
        liar = LyingProxy(
            node,
            wallets=[each.address for each in found],
            token=contracts.good,
            amount_wei=INVENTED_WEI,
            block_time_s=block_time_s,
            chance=chance,
        )
        stack.enter_context(liar)
        urls = [liar.url, node.rpc_url] if liar_is_first else [node.rpc_url, liar.url]
        lied_to = {**settings, "RPC_URL": ",".join(urls), "CROSS_CHECK_MIN_WEI": str(CROSS_CHECK_MIN_WEI)}
        processes = stack.enter_context(Processes(Program(folder, lied_to), logs=folder))
        blocks = Blocks(node, every_s=block_time_s)
        yield Site(node, liar, blocks, contracts, Program(folder, settings), processes, custody, found, database)


def _prepare(custody: Custody, node: DevNode, contracts: Contracts, count: int) -> list[str]:
    """Lists the tokens; the ids of new wallets."""
    node.mine(FINAL_DEPTH)
    custody.make_ready()
    for alias, address in (("good", contracts.good), ("noret", contracts.noret), ("retfalse", contracts.retfalse)):
        custody.tokens.add(chain_id=node.chain_id, address=address.lower(), alias=alias, decimals=6)
    return [custody.wallets.create(owner=f"owner-{number}", idempotency_key="first").id for number in range(count)]
