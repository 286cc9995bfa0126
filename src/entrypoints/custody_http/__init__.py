"""The HTTP facade: the same `Custody`, spoken to in JSON over HTTP/1.1.

Rules of this package

1. A route exists because `routes.py` lists it, with its schema, credentials, scope and reach. What is not listed is 404.
2. Text from outside becomes our values in `parse.py`; ours become text in `present.py`; an error gets its status in `errors.py`.
Nowhere else.
3. Every look-up is made with the caller's owner filter: a foreign object is an absent one.
4. Nothing in here holds, makes or opens a key.
"""

from __future__ import annotations

from custody_http.app import create_app

__all__ = ["create_app"]
