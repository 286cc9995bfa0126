"""A deterministic simulator: the real core over faulty ports, every promise checked after every step.

One seed is one story. `world` (chain, views, store, keys, time, chance) is what the core runs on, `processes` runs it, `faults`
breaks it, `invariants` and `oracle` judge it. `python -m tests.unit.simulation --seed 7` tells the story of seed 7 again.
"""
