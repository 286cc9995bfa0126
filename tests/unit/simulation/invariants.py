"""The promises that are checked at every commit, every signature and every broadcast, on the rows that were touched."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from typing import Any, Final

from custody_core.domain.authorisation import Authorised, AuthorisedPayment
from custody_core.domain.chain import ChainState, Header
from custody_core.domain.deposit import Deposit
from custody_core.domain.ledger import Account, AccountKind, PostingGroup
from custody_core.domain.transaction import Transaction
from custody_core.domain.wallet import SealedKey
from custody_core.ports import SignedTransaction
from custody_memory.tables import Tables
from tests.unit.simulation.attempts import require_attempts
from tests.unit.simulation.failures import require
from tests.unit.simulation.journal import Changed
from tests.unit.simulation.oracle import Movement, Oracle

OWNED: Final = frozenset({AccountKind.AVAILABLE, AccountKind.RESERVED, AccountKind.QUARANTINED})
HELD: Final = OWNED | {AccountKind.SUSPENSE}

# What may follow what, written down a second time: the core's own table does not judge itself.
NEXT: Final[dict[str, frozenset[str]]] = {
    "pending_approval": frozenset({"queued", "rejected", "cancelled", "expired"}),
    "queued": frozenset({"pending_signature", "rejected", "failed", "cancelled"}),
    "pending_signature": frozenset({"broadcasting", "failed"}),
    "broadcasting": frozenset({"confirming", "failed"}),
    "confirming": frozenset({"broadcasting", "completed", "reverted", "cancelled"}),
}
GIVES: Final = frozenset(
    {"deposit-credited", "deposit-released", "send-settled", "send-released", "cancellation-held", "suspense-booked"}
)
"""Why somebody may have more available than before."""
ARRIVED: Final = frozenset({"completed", "quarantined"})


class Invariants:
    """Judges every commit. It mirrors the books from the groups alone."""

    def __init__(self, oracle: Oracle, lies: Mapping[str, int] | None = None) -> None:
        self._oracle = oracle
        self._lies: Mapping[str, int] = Counter() if lies is None else lies
        self._balances: dict[Account, int] = defaultdict(int)
        self._totals: dict[tuple[str, str], int] = defaultdict(int)
        self._causes: set[tuple[str, str]] = set()
        self._reserved: dict[str, int] = defaultdict(int)
        self._nonces: dict[tuple[str, int], str] = {}
        self._next: dict[str, int] = defaultdict(int)
        self._managed: dict[bytes, str] = {}
        self._holders: dict[str, bytes] = {}
        self._mined: dict[str, str] = {}
        self._final, self._final_hash = 0, ""
        self.missed: Counter[tuple[int, Movement]] = Counter()
        """What contracts paid in final blocks, and a node left out of its traces: in suspense until the blocks are read again."""
        self._late: set[tuple[str, str]] = set()
        self._later: list[Callable[[], None]] = []
        self._tables: Tables | None = None
        self.checked = 0
        self._rules: dict[str, Callable[[Any, Any, Any], None]] = {
            "balances": self._balance,
            "transactions": self._transaction,
            "transaction_by_nonce": self._nonce,
            "deposits": self._deposit,
            "headers": self._header,
            "wallet_by_address": self._wallet,
            "idempotency": self._kept,
            "decisions": self._kept,
            "policies": self._kept,
        }

    def committed(self, tables: Tables, changed: Changed) -> None:
        """A unit is about to be committed."""
        self._tables = tables
        self.checked += 1
        if self._final:
            self._oracle.follow(self._final, self._final_hash)
        before: dict[tuple[str, Any], Any] = {}
        latest: dict[str, Transaction | None] = {}
        for table, key, old in changed:
            if table == "transactions":
                if key in latest:
                    self._step(key, latest[key], old)
                latest[key] = old
            before.setdefault((table, key), old)
        touched = self._groups(tables.groups._new)
        for (table, key), old in before.items():
            rule = self._rules.get(table)
            if rule is not None:
                rule(key, old, getattr(tables, table).rows.get(key))
        for id_, state in latest.items():
            self._step(id_, state, tables.transactions.rows.get(id_))
        self._told(tables, before)
        touched |= self._chain_goes_on(tables, before)
        while self._later:
            self._later.pop()()
        if self._final:
            self._books(touched)

    def signed(self, authorised: Authorised, key: SealedKey, signed: SignedTransaction) -> None:
        """INV-16: what was signed is what one committed decision allows."""
        assert self._tables is not None
        require(self._managed.get(bytes.fromhex(key.address[2:])) == key.wallet_id, "INV-15", f"{key.wallet_id} signed for another")
        if not isinstance(authorised, AuthorisedPayment):
            return
        decision = self._tables.decisions.get(authorised.decision_id)
        require(decision is not None, "INV-16", f"{signed.hash} was signed without a committed decision")
        assert decision is not None
        transaction = self._tables.transactions.get(decision.transaction_id)
        unsigned = authorised.unsigned
        require(transaction is not None and unsigned.nonce == transaction.nonce == decision.nonce, "INV-16", "another nonce")

    def broadcasting(self, raws: Sequence[bytes], hash_of: Callable[[bytes], str]) -> None:
        """INV-10: what leaves was committed before."""
        assert self._tables is not None
        for raw in raws:
            of = self._tables.transaction_by_hash.get((self._chain_id(), hash_of(raw)))  # type: ignore[arg-type]
            row = self._tables.transactions.get(of) if of else None
            kept = row is not None and any(attempt.raw == raw for attempt in row.attempts)
            require(kept, "INV-10", f"{hash_of(raw)} leaves before its bytes are committed")

    def marks(self) -> dict[str, Any]:
        """What it remembers, for `go_back`."""
        return {
            name: copy(value) for name, value in vars(self).items() if isinstance(value, (dict, set, int, str)) and name != "_lies"
        }

    def go_back(self, marks: dict[str, Any]) -> None:
        """Remembers what it did then: the books were restored from a backup."""
        vars(self).update({name: copy(value) for name, value in marks.items()})

    # The books

    def _groups(self, groups: Sequence[PostingGroup]) -> set[tuple[str, str]]:
        touched: set[tuple[str, str]] = set()
        for group in groups:
            cause = (group.reference, str(group.reason))
            require(cause not in self._causes, "INV-2", f"{cause} is posted twice")
            self._causes.add(cause)
            sums: dict[str, int] = defaultdict(int)
            for posting in group.postings:
                require(type(posting.delta) is int, "INV-6", f"{cause} posts {posting.delta!r}")
                account = posting.account
                is_given = account.kind is AccountKind.AVAILABLE and posting.delta > 0
                require(not is_given or str(group.reason) in GIVES, "INV-3", f"{cause} gives {posting.delta} to an owner")
                sums[account.asset] += posting.delta
                self._balances[account] += posting.delta
                if account.kind in HELD and account.wallet_id:
                    self._totals[account.asset, account.wallet_id] += posting.delta
                    touched.add((account.asset, account.wallet_id))
                if account.kind is AccountKind.RESERVED:
                    self._reserved[group.reference.partition("/")[0]] += posting.delta
            require(not any(sums.values()), "INV-2", f"{cause} does not sum to zero")
        return touched

    def _balance(self, account: Account, _old: int | None, new: int | None) -> None:
        require(type(new) is int, "INV-6", f"{account} is {new!r}")
        require(new == self._balances[account], "INV-2", f"{account} is {new}, its postings say {self._balances[account]}")
        require(account.kind not in OWNED or (new or 0) >= 0, "INV-5", f"{account} is {new}")

    def _books(self, touched: set[tuple[str, str]]) -> None:
        for asset, wallet_id in touched:
            holder = self._holders.get(wallet_id)
            if holder is not None and asset.lower() not in self._oracle.odd and (asset, wallet_id) not in self._late:
                held, booked = self._oracle.held(asset, holder, self._final), self._totals[asset, wallet_id]
                require(held == booked, "INV-1", f"{wallet_id} holds {held} {asset} at {self._final}, the books say {booked}")

    def require_late_books(self) -> None:
        """INV-1 of tokens that do not move as they say, and of what was found late, after they were compared."""
        require(not self.missed, "INV-3", f"not found: {self.missed}")
        for (asset, wallet_id), booked in self._totals.items():
            if asset.lower() in self._oracle.odd or (asset, wallet_id) in self._late:
                held = self._oracle.held(asset.lower(), self._holders[wallet_id], self._final)
                require(held == booked, "INV-1", f"{wallet_id} holds {held} {asset} at {self._final}, the books say {booked}")

    # Sends

    def _transaction(self, id_: str, old: Transaction | None, new: Transaction | None) -> None:
        require(new is not None, "append-only", f"{id_} was deleted")
        assert new is not None
        require(old is None or not old.is_final, "INV-11", f"{id_} is {old and old.state} and changes")
        require_attempts(old, new)
        if new.is_final:
            self._settled(new)
        else:
            held = new.fee_hold_wei + new.amount
            require(self._reserved[id_] == held, "INV-4", f"{id_} holds {self._reserved[id_]} and may cost {held}")

    def _step(self, id_: str, old: Transaction | None, new: Transaction | None) -> None:
        if old is not None and new is not None and old.state != new.state:
            require(str(new.state) in NEXT.get(old.state, ()), "lifecycle", f"{id_} goes from {old.state} to {new.state}")

    def _settled(self, new: Transaction) -> None:
        require(self._reserved[new.id] == 0, "INV-4", f"{new.id} is {new.state} and still holds {self._reserved[new.id]}")
        signed = {attempt.hash for attempt in new.attempts if attempt.hash}
        self._later.append(lambda: self._require_mined_once(new.id, [str(hash_) for hash_ in signed]))
        if new.nonce is None:
            require(not signed, "INV-11", f"{new.id} is {new.state} without a nonce and was signed")
        elif str(new.state) == "failed":
            self._later.append(lambda: self._require_taken(new))
        else:
            self._later.append(lambda: self._require_mined(new, str(new.state)))

    def _require_mined_once(self, id_: str, hashes: Sequence[str]) -> None:
        mined = self._oracle.mined(hashes)
        require(len(mined) <= 1, "INV-7", f"{id_} was mined {len(mined)} times: {sorted(mined)}")

    def _require_mined(self, new: Transaction, state: str) -> None:
        assert new.inclusion is not None
        attempt = next(each for each in new.attempts if each.id == new.inclusion.attempt_id)
        height = self._oracle.mined([str(attempt.hash)]).get(str(attempt.hash))
        require(height is not None and height <= self._final, "INV-11", f"{new.id} is {state}, and {attempt.hash} is not final")
        assert height is not None
        succeeded, fee_wei = self._oracle.fee(str(attempt.hash), height)
        if succeeded and new.asset.contract is not None:
            sender, to = bytes.fromhex(new.sender[2:]), bytes.fromhex(new.to[2:])
            succeeded = self._oracle.moved(str(attempt.hash), height, new.asset.contract.lower(), sender, to)
        expected = "cancelled" if str(attempt.kind) == "cancellation" else "completed" if succeeded else "reverted"
        require(state == expected, "INV-11", f"{new.id} is {state}, and was {expected} on the chain")
        require(new.inclusion.fee_wei == fee_wei, "INV-1", f"{new.id} cost {fee_wei}, the books say {new.inclusion.fee_wei}")

    def _require_taken(self, new: Transaction) -> None:
        user = self._oracle.who_used(bytes.fromhex(new.sender[2:]), new.nonce or 0, self._final)
        taken = user is not None and user not in {attempt.hash for attempt in new.attempts}
        require(taken, "INV-11", f"{new.id} failed, and nonce {new.nonce} is {user or 'free'}")

    def _nonce(self, key: tuple[int, str, int], old: str | None, new: str | None) -> None:
        _, sender, nonce = key
        require(old is None and new is not None, "INV-9", f"nonce {nonce} of {sender} changes hands")
        foreign = {used for address, used in self._oracle.foreign.values() if "0x" + address.hex() == sender.lower()}
        passed_over = set(range(self._next[sender], nonce)) - foreign
        in_order = nonce >= self._next[sender] and not passed_over
        require(in_order, "INV-9", f"{sender} reserves {nonce} after {self._next[sender] - 1}")
        self._next[sender] = nonce + 1

    # Deposits and blocks

    def _deposit(self, id_: str, old: Deposit | None, new: Deposit | None) -> None:
        require(new is not None, "append-only", f"{id_} was deleted")
        require(old is None or str(old.state) != "completed", "INV-3", f"{id_} was credited and changes")
        require(old is None or new is None or old.key == new.key, "INV-3", f"{id_} becomes another deposit")

    def _header(self, key: tuple[int, int], _old: Header | None, new: Header | None) -> None:
        assert self._tables is not None
        chain_id, height = key
        below = self._tables.headers.get((chain_id, height - 1))
        if new is not None and below is not None:
            require(new.parent_hash == below.hash, "INV-20", f"block {height} does not stand on the stored block {height - 1}")

    def _chain_goes_on(self, tables: Tables, before: dict[tuple[str, Any], Any]) -> set[tuple[str, str]]:
        for (table, _key), old in before.items():
            if table == "chains":
                return self._finality(tables, old, before)
        self._found(Counter(self._arrived(tables, before)))
        return set()

    def _finality(self, tables: Tables, old: ChainState | None, before: dict[tuple[str, Any], Any]) -> set[tuple[str, str]]:
        """The chain's row changed: what became final with it was paid, and nothing else was credited."""
        (state,) = list(tables.chains)
        if old is None:
            self._final, self._final_hash = state.final.number, state.final.hash
            return set()
        first, last = old.final.number + 1, state.final.number
        self._halted(old, state)
        require(self._oracle.follow(last, state.final.hash), "INV-20", f"block {last} {state.final.hash} is not final")
        require(last >= old.final.number, "INV-23", f"the final block goes back to {last}")
        stands = self._oracle.is_final(old.final.number, old.final.hash)
        require(stands, "INV-23", f"{last} {state.final.hash} is final, and does not stand on {old.final.number} {old.final.hash}")
        require(last <= state.cursor.number, "INV-20", "the final block is above the newest one")
        self._final, self._final_hash = last, state.final.hash
        owed = self._oracle.owed(first, last, self._managed)
        credited = Counter(self._arrived(tables, before))
        missing, too_much = self._left_out(owed - credited), credited - owed
        require(not missing and not too_much, "INV-3", f"blocks {first} to {last}: owed {missing}, credited {too_much}")
        self._require_known(tables, first, last)
        touched = {self._managed[address] for address in self._oracle.touched(first, last) if address in self._managed}
        assets = ["eth", *("0x" + token.hex() for token in self._oracle.tokens)]
        keys = {account.asset.lower(): account.asset for account in self._balances}
        return {(keys.get(asset, asset), wallet_id) for wallet_id in touched for asset in assets}

    def _left_out(self, missing: Counter[tuple[int, Movement]]) -> Counter[tuple[int, Movement]]:
        """`missing` without what a node may have left out of its traces, which is remembered."""
        if not self._lies["traces-omitted"]:
            return missing
        left_out = Counter({each: count for each, count in missing.items() if each[1][1] == "internal"})
        self.missed += left_out
        self._late |= {("eth", self._managed[movement[4]]) for _, movement in left_out}
        return missing - left_out

    def _found(self, found: Counter[tuple[int, Movement]]) -> None:
        """What arrives in blocks that were final before was missed in them."""
        require(not found - self.missed, "INV-3", f"credited {found - self.missed}, which was credited or never came")
        self.missed -= found

    def _halted(self, old: ChainState, new: ChainState) -> None:
        """While the chain is halted nothing about it changes; it is halted where a final block did, and somebody is told."""
        assert self._tables is not None
        if old.halted_reason is not None:
            require((old.cursor, old.final) == (new.cursor, new.final), "INV-23", "the chain is halted and goes on")
        elif new.halted_reason is not None:
            require(self._oracle.was_breached, "INV-23", f"halted, and every final block stands: {new.halted_reason}")
            told = {event.data.get("code") for event in self._tables.unnumbered_events if event.type == "alarm.raised"}
            require("finality-breached" in told, "INV-23", "halted without an alarm")

    def _arrived(self, tables: Tables, before: dict[tuple[str, Any], Any]) -> list[tuple[int, Movement]]:
        arrived: list[tuple[int, Movement]] = []
        for (table, key), old in before.items():
            new: Deposit | None = tables.deposits.get(key) if table == "deposits" else None
            if new is not None and str(new.state) in ARRIVED and (old is None or str(old.state) not in ARRIVED):
                require(self._oracle.is_final(new.block.number, new.block.hash), "INV-3", f"{new.id} is of no final block")
                of = new.key
                sender, to = bytes.fromhex(of.sender[2:]), bytes.fromhex(of.to[2:])
                self._require_all_of_it(new, to)
                arrived.append((new.block.number, (of.transaction_hash, str(of.kind), of.asset.lower(), sender, to, of.amount)))
        return arrived

    def _require_all_of_it(self, new: Deposit, to: bytes) -> None:
        """A deposit of which less came than its event says is not its owner's, unless a node lied about what came."""
        token, height = new.key.asset.lower(), new.block.number
        if (
            token not in self._oracle.odd
            or self._oracle.was_rebased(token)
            or str(new.state) != "completed"
            or self._lies["node-lies"]
        ):
            return
        require(not self._oracle.came_short(height, token, to), "INV-3", f"{new.id} came short in block {height} and is credited")

    def _require_known(self, tables: Tables, first: int, last: int) -> None:
        """INV-7: what managed addresses signed in blocks that are final now are attempts of ours, one for each intent."""
        for height, hash_, nonce in self._oracle.sent(first, last, self._managed):
            if hash_ in self._oracle.foreign:
                continue
            id_ = tables.transaction_by_hash.get((self._chain_id(), hash_))  # type: ignore[arg-type]
            require(id_ is not None, "INV-16", f"{hash_} in block {height} was signed with a managed key and is nobody's attempt")
            assert id_ is not None
            other = self._mined.setdefault(id_, hash_)
            require(other == hash_, "INV-7", f"{id_} was mined as {other} and as {hash_}")
            require(tables.transactions.rows[id_].nonce == nonce, "INV-9", f"{id_} was mined at nonce {nonce}")

    def _wallet(self, address: str, _old: str | None, new: str | None) -> None:
        if new is not None:
            self._managed[bytes.fromhex(address[2:])] = new
            self._holders[new] = bytes.fromhex(address[2:])

    def _kept(self, key: object, old: object, new: object) -> None:
        require(old is None and new is not None, "append-only", f"{key} changes")

    def _told(self, tables: Tables, before: dict[tuple[str, Any], Any]) -> None:
        """INV-18: each change of a state commits with an audit row."""
        changes = any(
            table in {"transactions", "deposits"} and (old is None or old.state != getattr(tables, table).rows[key].state)
            for (table, key), old in before.items()
        )
        require(not changes or any(table == "audit_ids" for table, _ in before), "INV-18", "a state changes without an audit row")

    def _chain_id(self) -> int:
        assert self._tables is not None
        return next(iter(self._tables.chains)).chain_id
