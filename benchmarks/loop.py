"""uvloop, the event loop of the load generator and of the servers that it needs."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from uvloop import new_event_loop

HOST = "127.0.0.1"


def run(work: Coroutine[Any, Any, Any]) -> Any:
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        return runner.run(work)


def serve(protocol: Callable[[], asyncio.Protocol], port: int) -> None:
    """Serve until the process ends."""

    async def forever() -> None:
        server = await asyncio.get_running_loop().create_server(protocol, HOST, port, backlog=1024)
        await server.serve_forever()

    run(forever())
