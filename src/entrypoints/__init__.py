"""The entrypoints: HTTP, CLI and worker, and the container that wires them."""
