"""The store on SQL: SQLite where the service is embedded, PostgreSQL where it is deployed."""
