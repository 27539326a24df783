"""Which addresses a webhook may be sent to."""

import socket
from ipaddress import IPv4Address, ip_address

import pytest

from adapters.http.addresses import AddressRefused, checked_sockets, is_allowed

PUBLIC = ["93.184.216.34", "2606:2800:220:1:248:1893:25c8:1946"]
PRIVATE = [
    "127.0.0.1", "127.8.8.8", "10.1.2.3", "172.16.0.1", "172.31.255.255", "192.168.1.1", "100.64.0.1", "::1",
    "fd12:3456::1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::1", "::127.0.0.1",
]  # fmt: skip
NEVER = [
    "169.254.169.254", str(IPv4Address(0)), "0.1.2.3", "255.255.255.255", "224.0.0.1", "240.0.0.1", "192.0.2.1",
    "198.18.0.1", "::", "fe80::1", "ff02::1", "2001:db8::1", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe",
    "100.100.100.200", "192.0.0.192", "fec0::1", "64:ff9b:1::7f00:1",
]  # fmt: skip


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_is_allowed_with_https(address: str) -> None:
    """A webhook is sent to a public address encrypted only."""
    assert is_allowed(ip_address(address), private=False, encrypted=True)
    assert is_allowed(ip_address(address), private=True, encrypted=True)
    assert not is_allowed(ip_address(address), private=True, encrypted=False)


@pytest.mark.parametrize("address", PRIVATE)
def test_a_private_address_is_allowed_where_it_is_configured(address: str) -> None:
    """A webhook is sent to this machine and to private networks only where the setting says so, in any notation."""
    assert not is_allowed(ip_address(address), private=False, encrypted=True)
    assert is_allowed(ip_address(address), private=True, encrypted=True)
    assert is_allowed(ip_address(address), private=True, encrypted=False)


@pytest.mark.parametrize("address", NEVER)
def test_other_addresses_are_never_allowed(address: str) -> None:
    """No webhook is sent to link-local, multicast and reserved addresses, whatever is configured."""
    allowed = [is_allowed(ip_address(address), private=p, encrypted=e) for p in (True, False) for e in (True, False)]

    assert not any(allowed)


def test_no_socket_is_opened_for_a_refused_address() -> None:
    """The function that opens sockets raises for a refused address, also for one with a zone."""
    open_socket = checked_sockets(private=False, encrypted=True)
    for family, address in ((socket.AF_INET, ("127.0.0.1", 443)), (socket.AF_INET6, ("fe80::1%1", 443, 0, 1))):
        with pytest.raises(AddressRefused):
            open_socket((family, socket.SOCK_STREAM, 0, "", address))
