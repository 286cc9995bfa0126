"""Long runs under faults: `make soak-sending`."""
