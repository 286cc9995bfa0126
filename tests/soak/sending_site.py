"""A service with many funded wallets, on a node and a PostgreSQL of its own."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

import attrs

from custody_core import Custody, Wallet, ether
from tests.soak.mayhem import Blocks, RoughProxy
from tests.soak.starting import FINAL_DEPTH, NODE_ARGUMENTS, SLOTS_IN_AN_EPOCH, Database, opened, own_folder
from tests.support.contracts import deploy, transact
from tests.support.devnode import DevNode
from tests.support.postgres import shared_server
from tests.support.processes import Processes
from tests.support.program import Program

BLOCK_TIME_S = 1.0
TOKEN = "good"
TOKENS_EACH = 10**12
EVERY_NTH_HAS_TOKENS = 5


@attrs.define
class Site:
    """One deployed service. `custody` accepts sends through the proxy, without any key, as the web process does."""

    node: DevNode
    blocks: Blocks
    proxy: RoughProxy
    program: Program
    processes: Processes
    custody: Custody
    token: str
    wallets: Sequence[Wallet]
    database: Database

    @property
    def token_wallets(self) -> Sequence[Wallet]:
        """Those that have tokens besides ether."""
        return self.wallets[::EVERY_NTH_HAS_TOKENS]

    def states(self) -> dict[str, int]:
        """How many transactions are in each state."""
        return dict(self.database.rows("SELECT state, count(*) FROM transactions GROUP BY state"))


@contextmanager
def prepared_site(*, wallets: int, chance: random.Random, geth_rules: bool) -> Iterator[Site]:
    """A site whose wallets' deposits are final."""
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
        }
        with opened(settings, create=True) as custody:
            token, wallet_ids = _fund(custody, node, wallets)
        node.set_automine(False)
        blocks = stack.enter_context(Blocks(node, every_s=BLOCK_TIME_S))
        proxy = stack.enter_context(RoughProxy(node.rpc_url, chance=chance, geth_rules=geth_rules))
        rough = {**settings, "RPC_URL": proxy.url}
        program = Program(folder, rough)
        processes = stack.enter_context(Processes(program, logs=folder))
        custody = stack.enter_context(opened(rough))
        found = [custody.wallets.get(each) for each in wallet_ids]
        yield Site(node, blocks, proxy, program, processes, custody, token, found, database)


def _fund(custody: Custody, node: DevNode, count: int) -> tuple[str, list[str]]:
    """A token, and the ids of wallets with ether; some have tokens, too."""
    custody.make_ready()
    token = deploy(node, "Good")
    custody.tokens.add(chain_id=node.chain_id, address=token.lower(), alias=TOKEN, decimals=6)
    wallets = [custody.wallets.create(owner=f"owner-{number}", idempotency_key="first") for number in range(count)]
    sent = [node.send_from_dev_account(wallet.address, ether("1")) for wallet in wallets]
    sent += [transact(node, "Good", token, "mint", wallet.address, TOKENS_EACH) for wallet in wallets[::EVERY_NTH_HAS_TOKENS]]
    for transaction_hash in sent:
        node.mined(transaction_hash)
    node.mine(FINAL_DEPTH)
    node.finalize()
    custody.tick()
    return token, [wallet.id for wallet in wallets]
