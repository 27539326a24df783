"""Ask a running service whether it is healthy."""

import sys
from http.client import HTTPConnection, HTTPException

SECONDS = 4.0
"""Less than the timeout of the image's HEALTHCHECK, so that the reason is shown."""

HEALTHY, UNHEALTHY = 0, 4
"""Exit statuses, without the import of their table: a probe runs every few seconds."""


def check_health(host: str, port: int, path: str) -> int:
    """Return the exit status for GET `path`. Prints to stderr what is wrong. Uses no proxy."""
    connection = HTTPConnection(host, port, timeout=SECONDS)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        body = response.read().decode(errors="replace")
    except (OSError, HTTPException) as error:
        sys.stderr.write(f"wxlogin: no service answers at {host} port {port} ({type(error).__name__})\n")
        return UNHEALTHY
    finally:
        connection.close()
    if response.status == 200:
        return HEALTHY
    sys.stderr.write(f"wxlogin: {path} is {response.status}: {body}\n")
    return UNHEALTHY
