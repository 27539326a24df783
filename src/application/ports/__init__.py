"""The ports: interfaces that the use cases need. Adapters inherit from them, and pass the contract suite of each."""
