"""What `make sim` and its kin run. Each prints figures; with `--write` they go into docs/reliability.md."""
