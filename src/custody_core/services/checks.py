"""What callers may ask for: pages, texts, labels."""

from __future__ import annotations

from datetime import UTC, datetime

from custody_core.errors import InvalidRequest, ValidationFailed

PAGE_MAX = 200

_TEXT_MAX = 255
_METADATA_MAX = 20
_METADATA_NAME_MAX = 64


def require_limit(limit: int) -> None:
    """Raises `InvalidRequest` unless a page of that size may be asked for."""
    if not 1 <= limit <= PAGE_MAX:
        raise InvalidRequest(f"a page has 1 to {PAGE_MAX} entries")


def require_text(text: object, name: str) -> None:
    """Raises `ValidationFailed` unless `text` can be shown back as it was given."""
    if not is_text(text):
        raise ValidationFailed(f"{name} is printable text of 1 to {_TEXT_MAX} characters", pointer=f"/{name}")


def require_labels(*, label: str | None, external_id: str | None, metadata: object) -> None:
    """Raises `ValidationFailed` for a label, external id or metadata that could not be shown back as it was given."""
    for name, text in (("label", label), ("external_id", external_id)):
        if text is not None:
            require_text(text, name)
    if not isinstance(metadata, dict) or len(metadata) > _METADATA_MAX:
        raise ValidationFailed(f"metadata holds at most {_METADATA_MAX} pairs", pointer="/metadata")
    for name, text in metadata.items():
        if not (is_text(name) and len(name) <= _METADATA_NAME_MAX and (text == "" or is_text(text))):
            raise ValidationFailed(
                f"metadata is printable text: names of 1 to {_METADATA_NAME_MAX} characters, values of at most {_TEXT_MAX}",
                pointer="/metadata",
            )


def require_moment(moment: datetime, pointer: str) -> datetime:
    """`moment` in UTC. Raises `ValidationFailed` without a time zone, or where UTC has no such time (before year 1, after 9999)."""
    if moment.tzinfo is None:
        raise ValidationFailed("a time names its time zone, as in 2027-01-31T00:00:00Z", pointer=pointer)
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValidationFailed("this time lies outside of the years 1 to 9999", pointer=pointer) from None


def is_text(text: object) -> bool:
    """Whether `text` is a short line that prints."""
    return isinstance(text, str) and 1 <= len(text) <= _TEXT_MAX and text.isprintable()
