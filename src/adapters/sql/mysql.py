"""Connecting to MariaDB and MySQL."""

from typing import Any

import asyncmy


async def connect(**options: Any) -> Any:
    """asyncmy's. On uvloop it has no word for a server that hangs up at once: that raises ConnectionError here."""
    try:
        return await asyncmy.connect(**options)
    except RuntimeError as error:
        raise ConnectionError(str(error)) from error
