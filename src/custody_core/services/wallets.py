"""Wallets: made ahead into a pool, handed out once, looked at ever after."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import attrs

from custody_core.domain import wallet as domain
from custody_core.domain.access import User
from custody_core.domain.addresses import Address, parse_address
from custody_core.domain.chain import BlockRef, ChainState, Header, final_number
from custody_core.domain.ids import IdPrefix, is_id
from custody_core.domain.ledger import AccountKind
from custody_core.domain.resources import Balance, OnChain, wallet_resource
from custody_core.domain.tokens import Asset, native_asset
from custody_core.domain.wallet import Unset, Wallet
from custody_core.errors import ExternalIdExists, KeyPoolEmpty, NodeUnavailable, NotFound
from custody_core.ports import BlockTag, Found, Unit
from custody_core.services import idempotency
from custody_core.services.checks import require_labels, require_limit, require_text
from custody_core.services.kit import SYSTEM_ACTOR, Kit, record_audit, record_wallet
from custody_core.services.rounds import wake_wallets
from custody_core.services.users import owner_named, require_enabled

ROUTE = "POST /wallets"


@attrs.frozen
class AcceptedWallet:
    """A wallet as it is now, with its public form as it was when it was handed out. `replayed`: by an earlier request."""

    wallet: Wallet
    answer: Mapping[str, object]
    replayed: bool


class Wallets:
    """`custody.wallets`."""

    def __init__(self, kit: Kit) -> None:
        self._kit = kit

    def create(
        self,
        *,
        owner: str,
        idempotency_key: str,
        label: str | None = None,
        external_id: str | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> Wallet:
        """A wallet for `owner`, from the pool.

        `owner` is a user's id (`usr_…`), or a name of your own for a local user, who is made when first named. The same key gives
        the same wallet. Raises `IdempotencyKeyMissing`, `IdempotencyKeyReused`, `ExternalIdExists`, `KeyPoolEmpty`,
        `ValidationFailed`, `NotFound`; `InvalidStateTransition` for a disabled owner.
        """
        accepted = self.accept_create(
            owner=owner, idempotency_key=idempotency_key, label=label, external_id=external_id, metadata=metadata
        )
        return accepted.wallet

    def accept_create(
        self,
        *,
        owner: str,
        idempotency_key: str,
        label: str | None = None,
        external_id: str | None = None,
        metadata: Mapping[str, str] | None = None,
        actor: str | None = None,
    ) -> AcceptedWallet:
        """As `create`, with what was answered the first time. `actor` is who asks, where that is not the owner."""
        key = idempotency.require_key(idempotency_key)
        body = {"label": label, "external_id": external_id, "metadata": dict(metadata or {})}
        require_labels(label=label, external_id=external_id, metadata=body["metadata"])
        fingerprint = idempotency.fingerprint_of(body)

        def work(unit: Unit) -> AcceptedWallet | None:
            now = self._kit.clock.now()
            user = owner_named(self._kit, unit, owner, now)
            scope = idempotency.scope_of(user.id, ROUTE)
            made = idempotency.made_before(unit, scope=scope, key=key, fingerprint=fingerprint)
            if made is not None:
                wallet = visible_wallet(unit, made.object_id, user.id)
                return AcceptedWallet(wallet, made.answer or wallet_resource(wallet), replayed=True)
            require_enabled(user)
            if external_id is not None and unit.wallet_by_external_id(user.id, external_id):
                raise ExternalIdExists("this owner has a wallet with this external id", pointer="/external_id")
            pooled = unit.pooled_wallet()
            if pooled is None:
                return None
            self._require_followed(unit)
            given = domain.give_owner(
                pooled, owner_id=user.id, label=label, external_id=external_id, metadata=metadata or {}, now=now
            )
            record_wallet(self._kit, unit, given, "wallet.created", actor=actor or user.id, now=now)
            answer = wallet_resource(given)
            idempotency.remember(unit, scope=scope, key=key, fingerprint=fingerprint, object_id=given.id, answer=answer, now=now)
            return AcceptedWallet(given, answer, replayed=False)

        accepted = self._kit.write(work, repeatable=True)
        # Inside `joined` no key is made: it would be gone with the caller's transaction, and its address known to somebody.
        if accepted is None and self._kit.keys is not None and not self._kit.is_joined():
            self.fill_pool()
            accepted = self._kit.write(work, repeatable=True)
        if accepted is None:
            self._kit.read(self._require_followed)
            raise KeyPoolEmpty("no wallet is ready; the scanner makes them ahead: see that it runs, or raise KEY_POOL_SIZE")
        return accepted

    def fill_pool(self) -> int:
        """Makes keys until the pool holds `key_pool_size` wallets; how many it made. Every address is watched from this moment."""
        keys = self._kit.keys
        missing = self._kit.limits.key_pool_size - self.pool_size()
        if keys is None or missing <= 0:
            return 0
        if self.ensure_chains():
            return 0
        now = self._kit.clock.now()
        sealed = keys.create([self._kit.new_id(IdPrefix.WALLET, now) for _ in range(missing)])

        def work(unit: Unit) -> int:
            unit.lock_pool()
            first = unit.next_wallet_sequence()
            made = [Wallet(key.wallet_id, key.address, first + index, now, now) for index, key in enumerate(sealed)]
            unit.add_wallets(made, sealed)
            for wallet in made:
                record_audit(self._kit, unit, now=now, actor=SYSTEM_ACTOR, action="wallet.made", object_id=wallet.id)
            return len(made)

        return self._kit.write(work)

    def pool_size(self) -> int:
        """How many wallets are ready to be handed out."""
        return self._kit.read(lambda unit: unit.pool_size())

    def ensure_chains(self) -> list[int]:
        """Gives every configured chain its row, which begins at the node's final block: following starts before any key exists.

        Returns the chains that still have none, because their node does not answer: no key is made before they do.
        """
        missing = []
        for chain_id in self._unfollowed(self._kit.read(lambda unit: unit.chains())):
            header = self._first_header(chain_id)
            if header is None:
                self._kit.observer.trouble("node-unavailable", f"eip155:{chain_id}: its node does not say where to begin")
                missing.append(chain_id)
                continue
            state = ChainState(chain_id, start=header.ref, cursor=header.ref, final=header.ref)
            self._kit.write(partial(_add_chain, state=state, header=header))
        return missing

    def _first_header(self, chain_id: int) -> Header | None:
        """The chain's final block now, by its tag or by the depth that is set."""
        chain, depth = self._kit.chain(chain_id), self._kit.limits.confirmations.get(chain_id)
        answer = chain.header(BlockTag.FINALIZED if depth is None else BlockTag.LATEST)
        if depth is not None and isinstance(answer, Found):
            number = final_number(tagged=None, head=answer.value.number, confirmations=depth)
            answer = chain.header(answer.value.number if number is None else number)
        return answer.value if isinstance(answer, Found) else None

    def _unfollowed(self, states: Sequence[ChainState]) -> list[int]:
        return [chain_id for chain_id in self._kit.chains if chain_id not in {state.chain_id for state in states}]

    def _require_followed(self, unit: Unit) -> None:
        """No address is shown to anybody before every chain that it can be paid on is followed."""
        missing = self._unfollowed(unit.chains())
        if missing:
            raise NodeUnavailable(f"eip155:{missing[0]} is not followed yet: its node has not answered; try again")

    def get(self, wallet_id: str, *, owner_id: str | None = None) -> Wallet:
        """The wallet. With `owner_id` only that owner's; a foreign one is not found. Raises `NotFound`."""
        return self._kit.read(lambda unit: visible_wallet(unit, wallet_id, owner_id))

    def by_address(self, address: str, *, owner_id: str | None = None) -> Wallet:
        """The wallet that has `address`. Raises `NotFound`, `InvalidAddress`."""
        parsed = parse_address(address, pointer="/address")
        wallet = self._kit.read(lambda unit: unit.wallets_by_address([parsed])).get(parsed)
        if wallet is None or wallet.owner_id is None or (owner_id is not None and wallet.owner_id != owner_id):
            raise NotFound("no wallet has this address")
        return wallet

    def list(
        self, *, owner_id: str | None = None, external_id: str | None = None, limit: int = 50, before_id: str | None = None
    ) -> Sequence[Wallet]:
        """Wallets, newest first; with `external_id` the owner's one of that name, or each owner's. For the next page give the last
        one's id as `before_id`.
        """
        require_limit(limit)
        return self._kit.read(
            lambda unit: unit.wallets(owner_id=owner_id, limit=limit, before_id=before_id, external_id=external_id)
        )

    def describe(
        self,
        wallet_id: str,
        *,
        label: str | Unset | None = Unset.UNSET,
        metadata: Mapping[str, str] | Unset = Unset.UNSET,
        owner_id: str | None = None,
        actor: str = SYSTEM_ACTOR,
    ) -> Wallet:
        """Puts another label, other metadata or both in the place of those that are there; what is left out stays, whatever else
        changes it meanwhile. Raises `NotFound`, `ValidationFailed`.
        """
        require_labels(
            label=None if isinstance(label, Unset) else label,
            external_id=None,
            metadata={} if isinstance(metadata, Unset) else dict(metadata),
        )

        def work(unit: Unit) -> Wallet:
            now = self._kit.clock.now()
            described = domain.describe(
                visible_wallet(unit, wallet_id, owner_id, lock=True), label=label, metadata=metadata, now=now
            )
            unit.save_wallet(described)
            record_audit(self._kit, unit, now=now, actor=actor, action="wallet.described", object_id=described.id)
            return described

        return self._kit.write(work)

    def freeze(self, wallet_id: str, *, reason: str, owner_id: str | None = None, actor: str = SYSTEM_ACTOR) -> Wallet:
        """Stops the wallet from sending. With `owner_id` on that owner's word, who can then lift it.

        Raises `NotFound`, `InvalidStateTransition`, `ValidationFailed`.
        """
        require_text(reason, "reason")

        def work(unit: Unit) -> Wallet:
            now = self._kit.clock.now()
            wallet = visible_wallet(unit, wallet_id, owner_id, lock=True)
            frozen = domain.freeze(wallet, reason=reason, by=owner_id or actor, now=now)
            if frozen != wallet:
                record_wallet(self._kit, unit, frozen, "wallet.frozen", actor=actor, now=now)
            return frozen

        return self._kit.write(work)

    def unfreeze(self, wallet_id: str, *, owner_id: str | None = None, actor: str = SYSTEM_ACTOR) -> Wallet:
        """Lets the wallet send again. With `owner_id` only what that owner froze.

        Raises `NotFound`, `InvalidStateTransition`; `WalletFrozen` for what an owner may not lift.
        """

        def work(unit: Unit) -> Wallet:
            now = self._kit.clock.now()
            opened = domain.unfreeze(visible_wallet(unit, wallet_id, owner_id, lock=True), now=now, by_owner=owner_id is not None)
            record_wallet(self._kit, unit, opened, "wallet.unfrozen", actor=actor, now=now)
            wake_wallets(self._kit, unit, [opened.id], now)
            return opened

        return self._kit.write(work)

    def balances(self, wallet_id: str, *, owner_id: str | None = None, live: bool = False) -> Sequence[Balance]:
        """The wallet's balances on every followed chain: ether always, tokens once something arrived.

        With `live` each line also holds what a node shows at the newest followed block, or None where it does not say. Raises
        `NotFound`.
        """

        def work(unit: Unit) -> tuple[Wallet, list[Balance], dict[int, BlockRef]]:
            wallet = visible_wallet(unit, wallet_id, owner_id)
            tokens = {(token.asset.chain_id, token.asset.key): token.asset for token in unit.tokens()}
            amounts: dict[tuple[int, str], dict[AccountKind, int]] = {}
            for account, amount in unit.balances(wallet_id).items():
                amounts.setdefault((account.chain_id, account.asset), {})[account.kind] = amount
            pending = unit.pending_in(wallet_id)
            lines = []
            for state in unit.chains():
                assets = [native_asset(state.chain_id)]
                seen = {key for chain_id, key in {*amounts, *pending} if chain_id == state.chain_id} - {assets[0].key}
                assets += [tokens[state.chain_id, key] for key in sorted(seen)]
                lines += [_balance(asset, state, amounts, pending) for asset in assets]
            return wallet, lines, {state.chain_id: state.cursor for state in unit.chains()}

        wallet, lines, heads = self._kit.read(work)
        return [self._with_on_chain(wallet.address, line, heads[line.asset.chain_id]) for line in lines] if live else lines

    def owner_named(self, owner: str) -> User:
        """The user that `owner` names, as in `create`; a local one is made when first named. Raises `NotFound`."""
        return self._kit.write(lambda unit: owner_named(self._kit, unit, owner, self._kit.clock.now()), repeatable=True)

    def _with_on_chain(self, address: Address, balance: Balance, head: BlockRef) -> Balance:
        (answer,) = self._kit.chain(balance.asset.chain_id).balances([(address, balance.asset.contract)], head)
        if not isinstance(answer, Found):
            return balance
        age_s = max(int((self._kit.clock.now() - head.timestamp).total_seconds()), 0)
        return attrs.evolve(balance, on_chain=OnChain(answer.value, head, age_s))


def visible_wallet(unit: Unit, wallet_id: str, owner_id: str | None, *, lock: bool = False) -> Wallet:
    """The wallet, when it has an owner and the caller may see it. Absent and foreign answer the same `NotFound`."""
    wallet = unit.wallet(wallet_id, lock=lock) if is_id(wallet_id, IdPrefix.WALLET) else None
    if wallet is None or wallet.owner_id is None or (owner_id is not None and wallet.owner_id != owner_id):
        raise NotFound("no such wallet")
    return wallet


def _add_chain(unit: Unit, state: ChainState, header: Header) -> None:
    if unit.chain(state.chain_id) is None:
        unit.add_chain(state, header)


def _balance(
    asset: Asset,
    state: ChainState,
    amounts: Mapping[tuple[int, str], Mapping[AccountKind, int]],
    pending: Mapping[tuple[int, str], int],
) -> Balance:
    held = amounts.get((asset.chain_id, asset.key), {})
    return Balance(
        asset=asset,
        available=held.get(AccountKind.AVAILABLE, 0),
        reserved=held.get(AccountKind.RESERVED, 0),
        quarantined=held.get(AccountKind.QUARANTINED, 0),
        pending_in=pending.get((asset.chain_id, asset.key), 0),
        as_of_block=state.final,
    )
