"""The store in memory: as honest as a database, gone when the process ends."""
