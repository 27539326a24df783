"""The adapters: one package for each technology, none of which imports another. `crypto` serves the stores."""
