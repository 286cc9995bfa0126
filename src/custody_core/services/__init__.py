"""Use cases: load, ask, decide, save in one transaction, and only then act outside."""
