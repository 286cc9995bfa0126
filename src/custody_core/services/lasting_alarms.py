"""Alarms about what lasts: raised once, however many processes find it and however often, and cleared when it is over."""

from __future__ import annotations

from collections.abc import Callable

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

    def begin(self, detail: str, *, mark: str, tells_more: Callable[[str], bool] = lambda _: False) -> None:
        """Raises it, unless it is; once more, where this tells more than what it was raised with."""
        if self._is_news(self.mark, tells_more):
            self._kit.write(lambda unit: self._begin(unit, detail, mark, tells_more))

    def end(self, detail: str) -> None:
        """Clears it, where it was raised."""
        if self.mark:
            self._kit.write(lambda unit: self._end(unit, detail))

    def _mark(self, unit: Unit) -> str:
        return (unit.setting(self._name) or b"").decode()

    def _is_news(self, raised_with: str, tells_more: Callable[[str], bool]) -> bool:
        return not raised_with or tells_more(raised_with)

    def _begin(self, unit: Unit, detail: str, mark: str, tells_more: Callable[[str], bool]) -> None:
        if self._is_news(self._mark(unit), tells_more):
            unit.put_setting(self._name, mark.encode())
            now = self._kit.clock.now()
            raise_alarm(self._kit, unit, now=now, code=self._code, object_id=self._object_id, detail=detail)

    def _end(self, unit: Unit, detail: str) -> None:
        if self._mark(unit):
            unit.put_setting(self._name, b"")
            now = self._kit.clock.now()
            clear_alarm(self._kit, unit, now=now, code=self._code, object_id=self._object_id, detail=detail)
