"""The console: the pages at /admin/ with which operators do in a browser what the admin API does."""
