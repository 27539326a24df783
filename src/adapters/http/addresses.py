"""The addresses that a webhook may be sent to, checked for each connection.

A name that is public today may resolve to an address of the own network tomorrow. So the address that is connected to
is checked, and not the one of an earlier lookup.
"""

import socket
from collections.abc import Callable
from functools import partial
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

PRIVATE: tuple[Network, ...] = tuple(
    map(
        ip_network,
        ("127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "::1/128", "fc00::/7"),
    )
)
"""This machine and private networks."""

NEVER: tuple[Network, ...] = tuple(
    map(
        ip_network,
        (
            *("169.254.0.0/16", "fe80::/10", "100.100.100.200/32", "192.0.0.0/24", "fd00:ec2::254/128"),
            *("fec0::/10", "64:ff9b:1::/48"),
        ),
    )
)
"""Link-local addresses, those where clouds serve credentials, and former local ones of IPv6."""

WITH_IPV4: tuple[Network, ...] = (ip_network("64:ff9b::/96"), ip_network("::/96"))
"""Addresses that have an IPv4 address in their last 32 bits (RFC 6052, RFC 4291 section 2.5.5.1)."""


class AddressRefused(OSError):
    """An address to which no webhook may be sent."""


def is_allowed(address: Address, *, private: bool, encrypted: bool) -> bool:
    """Return whether a webhook may be sent to the address: to public ones encrypted, to private ones if configured."""
    meant = _meant(address)
    if any(meant in network for network in NEVER):
        return False
    if any(meant in network for network in PRIVATE):
        return private
    return encrypted and meant.is_global and not meant.is_multicast


def _meant(address: Address) -> Address:
    """Return the IPv4 address that an IPv6 address leads to, if it does, else the address itself."""
    if isinstance(address, IPv6Address):
        if any(address in network for network in WITH_IPV4) and not address.is_loopback:
            return IPv4Address(int(address) & 0xFFFF_FFFF)
        return address.ipv4_mapped or address.sixtofour or address
    return address


def checked_sockets(*, private: bool, encrypted: bool) -> Callable[[Any], socket.socket]:
    """Return a function that opens the socket of a connection. Raises AddressRefused for its address."""
    return partial(_open_socket, private=private, encrypted=encrypted)


def _open_socket(info: Any, *, private: bool, encrypted: bool) -> socket.socket:
    family, kind, protocol, _, (host, *_) = info
    if not is_allowed(ip_address(host.partition("%")[0]), private=private, encrypted=encrypted):
        raise AddressRefused("the address is not allowed")
    return socket.socket(family, kind, protocol)
