"""Measurements of the service beside what others use for the same work: `make bench`."""
