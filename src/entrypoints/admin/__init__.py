"""The admin API: a process of its own, with routes that the public service does not have."""
