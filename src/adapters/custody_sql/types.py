"""Column types.

Rules of this file

1. An amount is exact up to 2^256-1: decimal text on SQLite, whose integers end at 2^63, and NUMERIC elsewhere. Amounts are
   never added up in SQL.
2. A time is aware and in UTC, with microseconds. On SQLite it is ISO 8601 text of one fixed width, so that the order of the
   texts is the order of the times.
3. A text is compared byte by byte on PostgreSQL too. A collation of the system's would order ids by the server's language, and
   leave unique indexes broken when an update of the system changes its mind.
4. Migrations use these types: what one of them stores does not change; a new way of storing is a new type.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, Dialect, Integer, LargeBinary, Numeric
from sqlalchemy import Text as AnyText
from sqlalchemy.dialects.postgresql import TIMESTAMP
from sqlalchemy.types import TypeDecorator, TypeEngine

from custody_core.domain.money import UINT256_MAX

__all__ = ["JSON", "BaseUnits", "BigInteger", "LargeBinary", "Moment", "RowNumber", "SignedUnits", "Text"]


class Text(TypeDecorator[str]):
    """Text of any length, ordered by its bytes."""

    impl = AnyText
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """SQLite compares bytes by itself."""
        return dialect.type_descriptor(AnyText() if dialect.name == "sqlite" else AnyText(collation="C"))


class BaseUnits(TypeDecorator[int]):
    """An amount of 0 … 2^256-1 base units."""

    impl = AnyText
    cache_ok = True
    lowest, highest, digits = 0, UINT256_MAX, 78

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Text where integers are too small, NUMERIC elsewhere."""
        return dialect.type_descriptor(AnyText() if dialect.name == "sqlite" else Numeric(self.digits, 0))

    def process_bind_param(self, value: int | None, dialect: Dialect) -> Any:
        """Raises `ValueError` for what no column of this type may hold."""
        if value is None:
            return None
        if type(value) is not int or not self.lowest <= value <= self.highest:
            raise ValueError(f"this column holds whole numbers of at most {self.digits} digits")
        return str(value) if dialect.name == "sqlite" else value

    def process_result_value(self, value: Any, dialect: Dialect) -> int | None:  # noqa: ARG002  # the base class names it
        """Text and Decimal alike become the int that they are."""
        return None if value is None else int(value)


class SignedUnits(BaseUnits):
    """A balance or a change of one. Wider than an amount: the world's side is the sum over all wallets."""

    cache_ok = True
    lowest, highest, digits = 1 - 10**96, 10**96 - 1, 96


class Moment(TypeDecorator[datetime]):
    """An instant, in UTC."""

    impl = AnyText
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Text on SQLite, which has no type for it."""
        return dialect.type_descriptor(AnyText() if dialect.name == "sqlite" else TIMESTAMP(timezone=True))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        """Raises `ValueError` for a naive datetime: whose noon would it be?"""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a time without a time zone is not stored")
        if value.tzinfo is not UTC:
            value = value.astimezone(UTC)
        return value.isoformat(timespec="microseconds") if dialect.name == "sqlite" else value

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        """The instant in UTC, whatever the session's time zone is."""
        if value is None:
            return None
        return datetime.fromisoformat(value) if dialect.name == "sqlite" else value.astimezone(UTC)


RowNumber = BigInteger().with_variant(Integer(), "sqlite")
"""A number that the database counts up. SQLite does that for a column declared INTEGER, and for no other."""
