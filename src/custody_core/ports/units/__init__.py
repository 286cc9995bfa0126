"""The parts of a unit, one per matter."""
