"""The programs: the library's front door, the command line, the scanner."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from custody_app.bootstrap_memory import open_in_memory
    from custody_app.library import open_custody

__all__ = ["open_custody", "open_in_memory"]


def __getattr__(name: str) -> object:
    """Loads what is asked for and no more: `custody --help` needs neither a database nor cryptography."""
    match name:
        case "open_custody":
            from custody_app.library import open_custody  # noqa: PLC0415 - see above

            return open_custody
        case "open_in_memory":
            from custody_app.bootstrap_memory import open_in_memory  # noqa: PLC0415 - see above

            return open_in_memory
        case _:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
