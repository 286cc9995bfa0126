"""Rows to values and back, one file per matter. Nothing here talks to a database."""
