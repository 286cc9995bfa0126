"""What `custody doctor` tells."""

from __future__ import annotations

import attrs


@attrs.frozen
class Finding:
    """One thing that was looked at. `ok` is None where it could not be."""

    name: str
    ok: bool | None
    detail: str
