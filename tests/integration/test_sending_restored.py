"""A database that is older than the chain: restored from a backup, or a standby that misses the last commits."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import attrs
import pytest
from sqlalchemy import make_url

from custody_core import TransactionState, WalletFrozen, ether
from custody_core.domain.transaction import AttemptState
from custody_core.domain.wallet import WalletState
from tests.integration.test_sending import OUTSIDER, mined_from
from tests.integration.test_sending_nonces import alarms, nonces_mined, send
from tests.support.devnode import DevNode
from tests.support.postgres import Server
from tests.support.service import CHAIN_ID, Service, running_service


@attrs.define
class Backup:
    """A service's database, which nobody uses while it is copied or replaced by its copy."""

    folder: Path
    node: DevNode
    server: Server | None
    url: str
    _copy: str = ""
    _elapsed_s: float = 0.0

    @contextmanager
    def opened(self) -> Iterator[Service]:
        """A service on the database as it is now, later than the one before it."""
        with running_service(self.folder, self.node, database_url=self.url) as service:
            service.clock.advance(self._elapsed_s)
            yield service
            service.clock.advance(60)  # leases end
            self._elapsed_s = (service.clock.now() - datetime.now(UTC)).total_seconds()

    def take(self) -> None:
        if self.server is None:
            shutil.copyfile(self.folder / "custody.db", self.folder / "backup.db")
        else:
            self._copy = self.server.create_database(template=make_url(self.url).database or "")

    def restore(self) -> None:
        if self.server is None:
            for leftover in self.folder.glob("custody.db-*"):
                leftover.unlink()
            shutil.copyfile(self.folder / "backup.db", self.folder / "custody.db")
        else:
            self.url = self.server.database_url(self._copy)


@pytest.fixture(params=["sqlite", "postgresql"])
def backup(request: pytest.FixtureRequest, tmp_path: Path, node: DevNode) -> Iterator[Backup]:
    if request.param == "sqlite":
        yield Backup(tmp_path, node, None, f"sqlite:///{tmp_path / 'custody.db'}")
        return
    server: Server = request.getfixturevalue("postgres")
    yield Backup(tmp_path, node, server, server.database_url(server.migrated_database()))


def carry(service: Service) -> None:
    """Long enough for everything that can be sent, and all of it is final."""
    for _ in range(3):
        service.clock.advance(31)
        service.custody.tick()
        service.finalize()


def paid(service: Service, before_wei: int) -> int:
    """How many payments of 0.1 ether the outsider has had since it had `before_wei`."""
    return (service.node.balance(OUTSIDER) - before_wei) // ether("0.1")


def test_o_03_a_restored_backup_pays_nothing_twice_and_goes_on_once_the_chain_is_adopted(backup: Backup, node: DevNode) -> None:
    """What the backup holds was queued, then paid, and more was sent after it: none of that may happen again by itself."""
    with backup.opened() as service:
        wallet, other = (service.wallet(owner, funded_wei=ether("1")) for owner in ("alice", "bob"))
        before = node.balance(OUTSIDER)
        done = send(service, wallet, "done")
        carry(service)
        assert service.outgoing(done).state is TransactionState.COMPLETED
        queued = [send(service, wallet, f"queued-{number}") for number in range(2)]
    backup.take()
    with backup.opened() as service:
        carry(service)
        assert {service.outgoing(each).state for each in queued} == {TransactionState.COMPLETED}
        send(service, wallet, "after-the-backup")
        carry(service)
        assert paid(service, before) == 4
    backup.restore()

    with backup.opened() as service:
        carry(service)
        assert service.custody.wallets.get(wallet.id).state is WalletState.FROZEN
        assert set(alarms(service)) == {"nonce-foreign"}
        for each in queued:
            overtaken = service.outgoing(each)
            assert (overtaken.state, overtaken.nonce) == (TransactionState.FAILED, None)
            assert "may have been paid" in str(overtaken.reason)
        with pytest.raises(WalletFrozen):
            send(service, wallet, "more")
        assert service.custody.wallets.get(other.id).state is WalletState.OPEN
        unharmed = send(service, other, "another-wallet")
        carry(service)
        assert service.outgoing(unharmed).state is TransactionState.COMPLETED
        assert paid(service, before) == 5, "the other wallet's one"

        assert [each.id for each in service.custody.chains.adopt(CHAIN_ID)] == [wallet.id]
        carry(service)
        assert paid(service, before) == 5, "nothing of it is paid by itself, not even now"
        later = send(service, wallet, "later")
        carry(service)
        assert (service.outgoing(later).state, service.outgoing(later).nonce) == (TransactionState.COMPLETED, 4)
        assert nonces_mined(service, wallet) == [0, 1, 2, 3, 4]
        service.assert_reconciled()


def test_o_03_a_send_signed_before_the_backup_is_known_again_by_its_bytes(backup: Backup, node: DevNode) -> None:
    """Stored before they left, the bytes are in the backup: they are sent again, which is harmless, and their block counts."""
    with backup.opened() as service:
        wallet = service.wallet(funded_wei=ether("1"))
        before = node.balance(OUTSIDER)
        node.set_automine(on=False)
        signed = send(service, wallet, "signed")
        service.custody.tick()
    backup.take()
    with backup.opened() as service:
        node.set_automine(on=True)
        node.mine()
        carry(service)
    backup.restore()
    with backup.opened() as service:
        carry(service)
        assert service.outgoing(signed).state is TransactionState.COMPLETED
        assert (paid(service, before), len(mined_from(node, wallet.address))) == (1, 1)
        assert service.custody.wallets.get(wallet.id).state is WalletState.OPEN
        assert alarms(service) == []
        service.assert_reconciled()


def test_o_03_a_send_made_dearer_after_the_backup_is_known_again_by_what_it_pays(backup: Backup, node: DevNode) -> None:
    """The attempt that was mined is one that the restored books never had; its bytes on the chain say whose it is."""
    with backup.opened() as service:
        wallet = service.wallet(funded_wei=ether("1"))
        before = node.balance(OUTSIDER)
        node.set_automine(on=False)
        dearer = send(service, wallet, "dearer")
        service.custody.tick()
    backup.take()
    with backup.opened() as service:
        service.clock.advance(95)
        service.custody.tick()
        mined = service.outgoing(dearer).attempts[1].hash
        node.set_automine(on=True)
        node.mine()
        carry(service)
        assert service.outgoing(dearer).hash == mined
    backup.restore()
    with backup.opened() as service:
        carry(service)
        known = service.outgoing(dearer)
        assert (known.state, known.hash) == (TransactionState.COMPLETED, mined)
        assert [each.state for each in known.attempts] == [AttemptState.SENT, AttemptState.FOUND]
        assert (service.custody.wallets.get(wallet.id).state, alarms(service)) == (WalletState.OPEN, [])
        carry(service)
        assert (paid(service, before), nonces_mined(service, wallet)) == (1, [0])
        service.assert_reconciled()


def test_o_03_a_wallet_that_its_owner_had_frozen_before_the_backup_pays_nothing_twice_either(backup: Backup, node: DevNode) -> None:
    """Its freeze has a reason of its own and is lifted by hand, not by adopting the chain."""
    with backup.opened() as service:
        wallet = service.wallet(funded_wei=ether("1"))
        before = node.balance(OUTSIDER)
        queued = send(service, wallet, "queued")
        service.custody.wallets.freeze(wallet.id, reason="lost phone", owner_id=wallet.owner_id)
    backup.take()
    with backup.opened() as service:
        service.custody.wallets.unfreeze(wallet.id)
        carry(service)
        assert service.outgoing(queued).state is TransactionState.COMPLETED
    backup.restore()
    with backup.opened() as service:
        carry(service)
        assert service.outgoing(queued).state is TransactionState.FAILED
        service.custody.wallets.unfreeze(wallet.id)
        carry(service)
        assert paid(service, before) == 1
        service.assert_reconciled()
