"""A TCP proxy on the loopback interface, which fails as networks and servers do.

The proxies of this kind on PyPI need a Toxiproxy server, or have had no release for years.
"""

import asyncio
import socket
import struct
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from enum import StrEnum
from typing import Any

CHUNK = 64 * 1024
RESET_ON_CLOSE = struct.pack("ii", 1, 0)
"""SO_LINGER of zero seconds: close() sends RST (socket(7))."""

Address = tuple[str, int] | str
"""Host and port, or the path of a Unix socket."""


class How(StrEnum):
    """The treatment of open and new connections."""

    PASSING = "passing"
    SLOW = "slow"
    """Each part of an answer is delayed by `delay_seconds`."""
    REFUSING = "refusing"
    """The port does not accept connections, as after SIGKILL."""
    RESETTING = "resetting"
    """A connection is accepted and then reset."""
    SILENT = "silent"
    """No data passes, as after SIGSTOP. It arrives when the proxy passes again."""
    CUT = "cut"
    """Connections end in the middle of their next answer."""
    CUT_ONCE = "cut once"
    """One connection ends in the middle of its next answer. Then all data passes."""


class Proxy:
    """A proxy between its port and a server, with its own thread."""

    def __init__(self, server: Address, delay_seconds: float = 0.2) -> None:
        self._server = server
        self._delay_seconds = delay_seconds
        self._how = How.PASSING
        self.on_part: Callable[[bytes], bool] = lambda _: True
        """Called before each part of a request or an answer passes. False loses it, and resets the connection."""
        self._passing = asyncio.Event()
        self._listener: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        # bound and not listening: no other process gets the port while the proxy refuses connections
        self._reservation = socket.socket()
        self._reservation.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._reservation.bind(("127.0.0.1", 0))
        self.port = int(self._reservation.getsockname()[1])
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._do(self._become(How.PASSING))

    def become(self, how: How) -> None:
        """Change the treatment of all connections, and return when the change is complete."""
        self._do(self._become(how))

    def close(self) -> None:
        """Close all connections."""
        self._do(self._become(How.REFUSING))
        self._do(self._drain())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._reservation.close()

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=10)

    async def _become(self, how: How) -> None:
        self._how = how
        if how in (How.REFUSING, How.RESETTING):
            for writer in list(self._open):
                _reset(writer)
        if how is How.REFUSING and self._listener:
            self._listener.close()
            self._listener = None
        if how is not How.REFUSING and not self._listener:
            self._listener = await asyncio.start_server(self._accept, "127.0.0.1", self.port, backlog=1024)
        if how is How.SILENT:
            self._passing.clear()
        else:
            self._passing.set()

    async def _drain(self) -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        await asyncio.wait(others, timeout=5) if others else None

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._how in (How.REFUSING, How.RESETTING):
            _reset(writer)
            return
        self._open.add(writer)
        try:
            there, to_server = await self._connect()
            self._open.add(to_server)
            try:
                await asyncio.gather(self._ask(reader, to_server), self._answer(there, writer))
            finally:
                self._open.discard(to_server)
                to_server.close()
        except OSError:  # the server does not accept, or one side closed the connection
            pass
        finally:
            self._open.discard(writer)
            writer.close()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if isinstance(self._server, str):
            return await asyncio.open_unix_connection(self._server)
        return await asyncio.open_connection(*self._server)

    async def _ask(self, reader: asyncio.StreamReader, server: asyncio.StreamWriter) -> None:
        while data := await reader.read(CHUNK):
            await self._passing.wait()
            if not self.on_part(data):
                _reset(server)
                return
            await _write(server, data)
        server.close()

    async def _answer(self, server: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await server.read(CHUNK):
            await self._passing.wait()
            if not self.on_part(data):
                _reset(writer)
                return
            if self._how is How.SLOW:
                await asyncio.sleep(self._delay_seconds)
            if self._how in (How.CUT, How.CUT_ONCE):
                self._how = How.CUT if self._how is How.CUT else How.PASSING
                await _write(writer, data[: len(data) // 2])
                break
            await _write(writer, data)
        writer.close()


@contextmanager
def proxy(server: Address, delay_seconds: float = 0.2) -> Iterator[Proxy]:
    """Run a proxy before the server until the block ends."""
    started = Proxy(server, delay_seconds)
    try:
        yield started
    finally:
        started.close()


async def _write(writer: asyncio.StreamWriter, data: bytes) -> None:
    writer.write(data)
    await writer.drain()


def _reset(writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
    writer.transport.abort()
