"""The ports without a server, for tests and for embedding."""
