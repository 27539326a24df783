"""The listening socket, opened here or passed by systemd, and closed without losing a connection."""

import ctypes
import os
import socket
import struct
import sys
import time
from contextlib import suppress
from typing import Self

from entrypoints.settings import SettingsError

BACKLOG = 2048
"""How many connections may wait to be accepted. The system may allow fewer (net.core.somaxconn)."""

FIRST_FD = 3
"""Where systemd puts the first socket (sd_listen_fds(3))."""

SO_ATTACH_FILTER = 26
NO_SYN = (
    (0x30, 0, 0, 13),  # load the byte of TCP's flags
    (0x45, 0, 1, 0x02),  # SYN?
    (0x06, 0, 0, 0),  # drop the packet
    (0x06, 0, 0, 0xFFFFFFFF),  # keep it
)
"""A filter of the kernel's (classic BPF) that lets no new connection begin, and lets those go on that have begun."""

SETTLE_SECONDS = 0.1
"""How long connections that have begun may take until they can be accepted."""


class Listener:
    """A listening socket that all processes of a service share. `activated`: it is systemd's, and stays open."""

    def __init__(self, listener: socket.socket, *, activated: bool = False) -> None:
        self.socket = listener
        self.is_unix = listener.family == socket.AF_UNIX
        self._activated = activated
        self._lent = -1

    @classmethod
    def open(cls, host: str, port: int) -> Self:
        """Return the one that systemd hands over, or else one that is bound to the address and does not listen yet.

        Raises SettingsError when the address is taken or not one of this machine's.
        """
        inherited = _inherited()
        return cls(inherited, activated=True) if inherited else cls(_bound(host, port))

    @property
    def url(self) -> str:
        """Return the URL of the service."""
        if self.is_unix:
            return f"unix:{self.socket.getsockname()}"
        host, port = self.socket.getsockname()[:2]
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    def listen(self) -> None:
        """Start to accept connections. Raises SettingsError if another process has the address."""
        try:
            self.socket.listen(BACKLOG)
        except OSError as error:
            raise _taken(self.url, error) from None

    def lend(self) -> int:
        """Return the descriptor for the server of this process, which closes it when it has stopped."""
        self._lent = self.socket.detach()
        return self._lent

    def refuse_connections(self) -> None:
        """Refuse new connections, and wait until those in the queue are accepted. Linux only.

        Closing a socket resets the connections in its queue. Without this, a connection that arrives between the last
        accept and the close would be lost. A refused client repeats its SYN after a second. The queue of systemd's
        socket is not lost: the next process accepts it.
        """
        if sys.platform != "linux" or self._activated:
            return
        program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in NO_SYN))
        pointer = struct.pack("HP", len(NO_SYN), ctypes.addressof(program))
        with suppress(OSError):  # a kernel without filters
            self.socket.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, pointer)
            time.sleep(SETTLE_SECONDS)

    def stop_accepting(self) -> None:
        """Stop accepting connections in this process, while others that share the socket go on. Linux only.

        The server goes on to accept on the descriptor, which then belongs to a socket without an address.
        """
        if sys.platform == "linux":
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as nowhere:
                nowhere.bind("")  # a random name that no one knows
                nowhere.listen(1)
                os.dup2(nowhere.fileno(), self._lent, inheritable=False)

    def close(self) -> None:
        """Close it in this process."""
        self.socket.close()


def _inherited() -> socket.socket | None:
    """Return the socket of systemd's socket activation, if there is one (sd_listen_fds(3))."""
    owner, number = os.environ.pop("LISTEN_PID", ""), os.environ.pop("LISTEN_FDS", "")
    os.environ.pop("LISTEN_FDNAMES", None)
    if owner != str(os.getpid()) or number in ("", "0"):
        return None
    if number != "1":
        raise SettingsError(f"systemd hands over {number} sockets.\n  hint: one ListenStream in the .socket unit")
    return socket.socket(fileno=FIRST_FD)


def _bound(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # accepted connections inherit it
        bound.bind((host, port))
    except (OSError, OverflowError) as error:
        bound.close()
        raise _taken(f"{host}:{port}", error) from None
    return bound


def _taken(address: str, error: Exception) -> SettingsError:
    return SettingsError(f"Cannot listen on {address} ({error}).\n  hint: choose another --port")
