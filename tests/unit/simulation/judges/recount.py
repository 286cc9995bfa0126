"""A judge that remembers nothing: it recomputes all that the rows say, from the first posting and from the first block on.

The others look at what a unit touches, and go by what they remember of the rest. This one is asked now and then, and sees what has
become of a row that nobody touched.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from typing import Final

from custody_core.domain.chain import ChainState
from custody_core.domain.ledger import Account
from custody_core.domain.transaction import Transaction
from custody_memory.tables import Tables
from tests.unit.simulation.failures import require
from tests.unit.simulation.judges.arrivals import ARRIVED, Owed
from tests.unit.simulation.judges.books import HELD, OWNED, Holding
from tests.unit.simulation.judges.rows import require_audit_chain, require_owners, require_rows_found
from tests.unit.simulation.oracle import Movement, Oracle

MINED: Final = frozenset({"completed", "reverted", "cancelled"})
"""How a send ends that is in a block, if it has a nonce."""

Sent = Mapping[str, tuple[int, int]]
"""What managed addresses signed in final blocks: hash → height, nonce."""


class Recount:
    """All of `tables` against the truth. `missed` is what a node left out and nobody has found yet, `differs` says by how
    much more a wallet may hold than the books say: what the truth alone cannot tell.
    """

    def __init__(self, oracle: Oracle, missed: Callable[[], Owed], differs: Callable[[Holding], range]) -> None:
        self._oracle = oracle
        self._missed = missed
        self._differs = differs

    def require(self, tables: Tables) -> None:
        """INV-1, 2, 3, 5, 7, 8, 9, 11, 16, 18, 20, 21, 22, 24 of every row."""
        totals = _require_books(tables)
        require_rows_found(tables)
        require_owners(tables)
        require_audit_chain(tables)
        for state in tables.chains:
            self._require_linked(tables, state)
            self._require_held(tables, state.final.number, totals)
            self._require_arrived(tables, state)
            self._require_sent(tables, state)
        _require_no_gap(tables)

    def _require_linked(self, tables: Tables, state: ChainState) -> None:
        """INV-20: from the first header to the cursor there is one for each height, and each stands on the one before it."""
        final = state.final
        require(self._oracle.follow(final.number, final.hash), "INV-20", f"block {final.number} {final.hash} is not final")
        headers = {height: header for (_, height), header in tables.headers.rows.items()}
        heights = range(state.start.number, state.cursor.number + 1)
        require(headers.keys() == set(heights), "INV-20", f"the headers are {sorted(headers)}, the cursor is {state.cursor.number}")
        for end in (state.start, final, state.cursor):
            require(
                headers[end.number].hash == end.hash, "INV-20", f"block {end.number} is {headers[end.number].hash}, not {end.hash}"
            )
        for height in heights[1:]:
            linked = headers[height].parent_hash == headers[height - 1].hash and headers[height].number == height
            require(linked, "INV-20", f"block {height} does not stand on the stored block {height - 1}")

    def _require_held(self, tables: Tables, height: int, totals: Mapping[Holding, int]) -> None:
        """INV-1: each address holds in the books' final block what the books say, also where they say nothing."""
        spelled = {asset.lower(): asset for asset, _ in totals}
        assets = {asset: spelled.get(asset, asset) for asset in ("eth", *("0x" + token.hex() for token in self._oracle.tokens))}
        for wallet in tables.wallets:
            holder = bytes.fromhex(wallet.address[2:])
            for lower, asset in assets.items():
                held, booked = self._oracle.held(lower, holder, height), totals.get((asset, wallet.id), 0)
                is_right = held - booked in self._differs((asset, wallet.id))
                require(is_right, "INV-1", f"{wallet.id} holds {held} {asset} at {height}, the books say {booked}")

    def _require_arrived(self, tables: Tables, state: ChainState) -> None:
        """INV-3: final blocks paid what is credited, each payment once."""
        arrived: list[tuple[int, Movement]] = []
        for each in tables.deposits:
            key, block = each.key, each.block
            if str(each.state) not in ARRIVED:
                is_late = str(each.state) == "confirming" and block.number <= state.final.number
                require(not is_late, "INV-3", f"{each.id} is of a final block and {each.state}")
                continue
            require(self._oracle.is_final(block.number, block.hash), "INV-3", f"{each.id} is of no final block")
            ends = bytes.fromhex(key.sender[2:]), bytes.fromhex(key.to[2:])
            arrived.append((block.number, (key.transaction_hash, str(key.kind), key.asset.lower(), *ends, key.amount)))
        managed = {bytes.fromhex(address[2:]) for address in tables.wallet_by_address.rows}
        owed, credited = self._oracle.owed(state.start.number + 1, state.final.number, managed), Counter(arrived)
        missing, too_much = owed - credited - self._missed(), credited - owed
        require(not missing and not too_much, "INV-3", f"up to {state.final.number}: owed {missing}, credited {too_much}")

    def _require_sent(self, tables: Tables, state: ChainState) -> None:
        """INV-7, INV-9, INV-11: what managed addresses signed in final blocks is one attempt of each send that is at its end."""
        managed = {bytes.fromhex(address[2:]) for address in tables.wallet_by_address.rows}
        found = self._oracle.sent(state.start.number + 1, state.final.number, managed)
        sent = {hash_: (height, nonce) for height, hash_, nonce in found}
        mined: dict[str, list[str]] = defaultdict(list)
        for hash_ in sent:
            id_ = tables.transaction_by_hash.get((state.chain_id, hash_))  # type: ignore[arg-type]
            if id_ is not None:
                mined[id_].append(hash_)
                continue
            require(hash_ in self._oracle.foreign, "INV-16", f"{hash_} was signed with a managed key and is nobody's attempt")
            is_known = (state.chain_id, hash_) in tables.settled_foreign_uses.rows
            require(is_known, "INV-9", f"{hash_} is final, was signed elsewhere, and is not known")
        for each in tables.transactions:
            self._require_mined(each, mined.get(each.id, []), sent)

    def _require_mined(self, send: Transaction, mined: list[str], sent: Sent) -> None:
        require(len(mined) <= 1, "INV-7", f"{send.id} was mined as {mined}")
        is_mined = str(send.state) in MINED and send.nonce is not None
        require(bool(mined) == is_mined, "INV-11", f"{send.id} is {send.state}, and was mined as {mined}")
        if not is_mined:
            return
        (hash_,) = mined
        height, nonce = sent[hash_]
        require(send.nonce == nonce, "INV-9", f"{send.id} was mined at nonce {nonce}")
        at = send.inclusion
        require(send.hash == hash_ and at and at.block.number == height, "INV-11", f"{send.id} was mined as {hash_} in {height}")
        succeeded, fee_wei = self._oracle.fee(hash_, height)
        (kind,) = (str(attempt.kind) for attempt in send.attempts if attempt.hash == hash_)
        expected = {"cancelled"} if kind == "cancellation" else {"completed"} if succeeded else {"reverted"}
        # A token may say no without reverting.
        possible = expected | ({"reverted"} if kind != "cancellation" and send.asset.contract else set())
        require(str(send.state) in possible, "INV-11", f"{send.id} is {send.state}, and was {expected} on the chain")
        require(at and at.fee_wei == fee_wei, "INV-1", f"{send.id} cost {fee_wei}")


def _require_no_gap(tables: Tables) -> None:
    """INV-9: below the next nonce of an address each one is one send's, or was used elsewhere; above it there is none."""
    ours: dict[str, set[int]] = defaultdict(set)
    for send in tables.transactions:
        if send.nonce is not None:
            require(send.nonce not in ours[send.sender], "INV-9", f"{send.sender} has nonce {send.nonce} twice")
            ours[send.sender].add(send.nonce)
    foreign: dict[str, set[int]] = defaultdict(set)
    for use in tables.settled_foreign_uses:
        foreign[use.address].add(use.nonce)
    below: dict[str, set[int]] = {address: set(range(line.next_nonce)) for (_, address), line in tables.nonce_lines.rows.items()}
    for address in {**ours, **below}:
        beyond = ours[address] - below.get(address, set())
        require(not beyond, "INV-9", f"{address} has nonces {sorted(beyond)} above its next one")
        gap = below.get(address, set()) - ours[address] - foreign[address]
        require(not gap, "INV-9", f"nonces {sorted(gap)} of {address} are nobody's")


def _require_books(tables: Tables) -> dict[Holding, int]:
    """INV-2, INV-5: balances are what was posted, each group sums to zero and is of a cause of its own. What wallets have."""
    sums: dict[tuple[str, str, str | None], int] = defaultdict(int)
    causes: dict[tuple[str, str], int] = {}
    for position, group in enumerate(tables.groups.after(0, len(tables.groups)), 1):
        cause = (group.reference, str(group.reason))
        require(cause not in causes, "INV-2", f"{cause} is posted twice")
        causes[cause] = position
        left: dict[str, int] = defaultdict(int)
        for posting in group.postings:
            sums[_plain(posting.account)] += posting.delta
            left[posting.account.asset] += posting.delta
        require(not any(left.values()), "INV-2", f"{cause} does not sum to zero")
    require(tables.group_by_cause.rows == causes, "INV-2", "the causes of posting groups are others than they are found by")
    totals: dict[Holding, int] = defaultdict(int)
    for account, balance in tables.balances.rows.items():
        posted = sums.pop(_plain(account), 0)
        require(balance == posted, "INV-2", f"{account} is {balance}, its postings say {posted}")
        require(balance >= 0 or account.kind not in OWNED, "INV-5", f"{account} is {balance}")
        if account.wallet_id is not None and account.kind in HELD:
            totals[account.asset, account.wallet_id] += balance
    require(not any(sums.values()), "INV-2", f"balances are missing: {[each for each, left in sums.items() if left]}")
    return totals


def _plain(account: Account) -> tuple[str, str, str | None]:
    """An account as what is quick to look up. There is one chain."""
    return account.asset, account.kind._value_, account.wallet_id
