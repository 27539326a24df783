"""Who calls: HTTP, CLI, worker, and the container that wires them."""
