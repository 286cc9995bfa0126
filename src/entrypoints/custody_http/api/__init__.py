"""One file for each resource: its handlers, and its rows of the registry."""
