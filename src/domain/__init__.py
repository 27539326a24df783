"""Values, rules and errors. Imports the standard library only."""
