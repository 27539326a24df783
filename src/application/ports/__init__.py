"""The ports: interfaces that the use cases need. Adapters subclass theirs by name, and pass its contract suite."""
