"""Publishing policy documents, and the one that a new service starts with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from custody_core.domain.ids import IdPrefix
from custody_core.domain.policy import STARTER_DOCUMENT, Layer, Policy, parse_document
from custody_core.errors import ValidationFailed
from custody_core.ports import Unit
from custody_core.services.kit import SYSTEM_ACTOR, Kit, record_audit, record_event


class Policies:
    """`custody.policies`."""

    def __init__(self, kit: Kit) -> None:
        self._kit = kit

    def active(self) -> Sequence[Policy]:
        """The documents in force, one per layer and subject."""
        return self._kit.read(lambda unit: unit.active_policies())

    def publish(
        self,
        document: Mapping[str, object],
        *,
        layer: Layer | str = Layer.GLOBAL,
        subject: str | None = None,
        actor: str = SYSTEM_ACTOR,
    ) -> Policy:
        """Puts `document` in force for its layer and subject, in place of the one before. Raises `ValidationFailed` with a
        pointer.
        """
        parse_document(document)
        try:
            bound = Layer(layer)
        except ValueError:
            raise ValidationFailed("a layer is global, owner or wallet", pointer="/layer") from None
        if (bound is Layer.GLOBAL) != (subject is None):
            raise ValidationFailed("the global layer has no subject, the others have one", pointer="/subject")
        return self._kit.write(lambda unit: self._publish(unit, document, bound, subject, actor))

    def ensure_starter(self) -> Policy | None:
        """Publishes the starter document where no global policy is in force. What it published, or None."""

        def work(unit: Unit) -> Policy | None:
            if any(policy.layer is Layer.GLOBAL for policy in unit.active_policies()):
                return None
            return self._publish(unit, STARTER_DOCUMENT, Layer.GLOBAL, None, SYSTEM_ACTOR)

        return self._kit.write(work)

    def _publish(self, unit: Unit, document: Mapping[str, object], layer: Layer, subject: str | None, actor: str) -> Policy:
        now = self._kit.clock.now()
        policy = Policy(self._kit.new_id(IdPrefix.POLICY, now), layer, subject, dict(document), now)
        unit.publish_policy(policy)
        record_audit(
            self._kit, unit, now=now, actor=actor, action="policy.published", object_id=policy.id, detail={"layer": str(layer)}
        )
        data: dict[str, object] = {"id": policy.id, "layer": str(layer), "subject": subject, "document": dict(document)}
        record_event(self._kit, unit, now=now, type_="policy.published", object_id=policy.id, owner_id=None, data=data)
        return policy
