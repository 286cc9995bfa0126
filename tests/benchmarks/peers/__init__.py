"""Programs that do a benchmark's work with a peer's own library, each run by the peer's own environment."""
