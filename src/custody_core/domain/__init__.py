"""The rules: pure values and functions. No clock, no chance, no network, no disk, no log."""
