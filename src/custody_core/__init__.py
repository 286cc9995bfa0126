"""A custodial Ethereum wallet as a library. What is named here is the public interface; nothing else is."""

from __future__ import annotations
