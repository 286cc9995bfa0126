"""The parts of a unit, one file per matter."""
