"""A seeded chain of mainnet-like blocks, and a server that replays it over JSON-RPC."""
