"""What is done when somebody else signs with a managed key, or these books are older than the chain (a restored backup).

The wallet stops at once, and a person has to look. What was signed elsewhere is on the chain already or may get there; not
signing at the same nonces, and not paying again what may have been paid, is all that can be done from here.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from custody_core.domain.addresses import Address
from custody_core.domain.facts import Overtaken
from custody_core.domain.lifecycle import decide
from custody_core.domain.nonce import used_elsewhere
from custody_core.domain.resources import chain_text
from custody_core.domain.wallet import Wallet, WalletState, freeze
from custody_core.ports import EVERY_MOVEMENT, Chain, Found, Unit
from custody_core.services.kit import SYSTEM_ACTOR, Kit, raise_alarm, record_changes, record_wallet


def frozen_because(chain_id: int) -> str:
    """The reason of a wallet that was frozen for this, by which `adopt` of that chain finds it again."""
    return f"its key was used elsewhere on {chain_text(chain_id)}, or these books are older than it; see `custody chain adopt`"


_MAY_HAVE_BEEN_PAID = (
    "it may have been paid already: the chain knows more sends of its wallet than these books; ask again if it was not"
)
_ALL_OF_A_QUEUE = 2**31 - 1
_NEWEST = 200


def stop_wallet(kit: Kit, unit: Unit, wallet: Wallet, chain_id: int, *, detail: str, now: datetime) -> Wallet:
    """Freezes the wallet and raises the alarm. What its owner froze stays frozen for that reason, but is not theirs to lift now.

    The wallet as it is then: whoever stops it once more for something else goes on from that.
    """
    if wallet.state is WalletState.OPEN or (wallet.state is WalletState.FROZEN and wallet.frozen_by == wallet.owner_id):
        wallet = freeze(wallet, reason=wallet.state_reason or frozen_because(chain_id), by=SYSTEM_ACTOR, now=now)
        record_wallet(kit, unit, wallet, "wallet.frozen", actor=SYSTEM_ACTOR, now=now)
    raise_alarm(kit, unit, now=now, code="nonce-foreign", object_id=wallet.id, detail=detail)
    return wallet


def give_up_queued(kit: Kit, unit: Unit, chain_id: int, addresses: Collection[Address], now: datetime) -> None:
    """Fails what waits for a nonce at `addresses`, from which somebody else has sent: after a restored backup these may be the very
    sends that were paid, and by themselves they would be paid again.
    """
    wallets = unit.wallets_by_address(set(addresses))
    queued = unit.queued_of(chain_id, [wallet.id for wallet in wallets.values()], first=_ALL_OF_A_QUEUE)
    overtaken = [decide(each, Overtaken(_MAY_HAVE_BEEN_PAID), now) for each in unit.transactions_by_id(queued).values()]
    record_changes(kit, unit, overtaken, now=now)


def stop_overtaken(kit: Kit, chain: Chain) -> bool:
    """Looks, for the wallets that sent last, whether the chain knows more of their sends than the books, and stops those: so books
    that were restored from a backup are found out when work begins. Whether all of them were looked at.

    Every wallet, of whom nothing was heard here included, is asked about again before a nonce of it is reserved.
    """

    def newest(unit: Unit) -> dict[Address, int]:
        sent = unit.transactions(EVERY_MOVEMENT, limit=_NEWEST)
        senders = {each.sender for each in sent if each.chain_id == chain.chain_id and each.nonce is not None}
        return {address: line.next_nonce for address, line in unit.nonce_lines(chain.chain_id, senders).items()}

    lines = kit.read(newest)
    answers = chain.known_nonces(list(lines), reserved=list(lines.values())) if lines else ()
    known = {address: answer.value for address, answer in zip(lines, answers, strict=True) if isinstance(answer, Found)}

    def work(unit: Unit) -> None:
        now, wallets = kit.clock.now(), unit.wallets_by_address(set(known))
        locked = unit.wallets_by_id({wallet.id for wallet in wallets.values()}, lock=True)
        for address, line in unit.nonce_lines(chain.chain_id, known).items():
            wallet = locked[wallets[address].id]
            if used_elsewhere(line, count=known[address]) and wallet.state is WalletState.OPEN:
                detail = f"a node knows {known[address]} transactions from {address}, and {line.next_nonce} were reserved here"
                stop_wallet(kit, unit, wallet, chain.chain_id, detail=detail, now=now)

    if known:
        kit.write(work)
    return len(known) == len(lines)
