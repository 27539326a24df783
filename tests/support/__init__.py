"""The base of the tests: real servers, real processes, and a clock that a test moves."""
