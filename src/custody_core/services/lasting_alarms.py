"""Alarms about what lasts: raised once, however many processes find it and however often, and cleared when it is over."""

from __future__ import annotations

from custody_core.domain.resources import chain_text
from custody_core.ports import Unit
from custody_core.services.kit import Kit, clear_alarm, raise_alarm


class LastingAlarm:
    """One such alarm about one chain. That it was raised is kept in the store."""

    def __init__(self, kit: Kit, code: str, chain_id: int) -> None:
        self._kit = kit
        self._code = code
        self._name = f"{code}:{chain_id}"
        self._object_id = chain_text(chain_id)

    @property
    def mark(self) -> str:
        """What it was raised with; empty while it is not raised."""
        return self._kit.read(self._mark)

    def begin(self, detail: str, *, mark: str) -> None:
        """Raises it, unless it is."""
        if not self.mark:
            self._kit.write(lambda unit: self._begin(unit, detail, mark))

    def end(self, detail: str) -> None:
        """Clears it, where it was raised."""
        if self.mark:
            self._kit.write(lambda unit: self._end(unit, detail))

    def _mark(self, unit: Unit) -> str:
        return (unit.setting(self._name) or b"").decode()

    def _begin(self, unit: Unit, detail: str, mark: str) -> None:
        if not self._mark(unit):
            unit.put_setting(self._name, mark.encode())
            now = self._kit.clock.now()
            raise_alarm(self._kit, unit, now=now, code=self._code, object_id=self._object_id, detail=detail)

    def _end(self, unit: Unit, detail: str) -> None:
        if self._mark(unit):
            unit.put_setting(self._name, b"")
            now = self._kit.clock.now()
            clear_alarm(self._kit, unit, now=now, code=self._code, object_id=self._object_id, detail=detail)
