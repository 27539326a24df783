"""Connect to MariaDB and MySQL."""

from typing import Any

import asyncmy


async def connect(**options: Any) -> Any:
    """Return a connection of asyncmy. Raises ConnectionError if the server closes at once: RuntimeError on uvloop."""
    try:
        return await asyncmy.connect(**options)
    except RuntimeError as error:
        raise ConnectionError(str(error)) from error
