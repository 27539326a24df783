"""The ports in the memory of this process, for tests and for embedding."""
