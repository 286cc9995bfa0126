"""The programs: the library's front door, the command line, the scanner."""

from custody_app.bootstrap_memory import open_in_memory
from custody_app.library import open_custody

__all__ = ["open_custody", "open_in_memory"]
