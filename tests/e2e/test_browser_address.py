"""The address of the browser that a website names when it starts a scan."""

from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from support.processes import APPID, Service

FULL = "0000:0000:0000:0000:0000:ffff:255.255.255.255"
"""An address in its longest form: 45 characters."""


@pytest.fixture(scope="module")
def provider(open_service: Any) -> Iterator[Service]:
    """A service with one website."""
    with open_service(issuer="https://id.example.com", clients='{"shop":"s3cret"}') as running:
        yield running


def start(provider: Service, ip: str) -> httpx2.Response:
    """Start a scan for a browser at an address."""
    form = {"appid": APPID, "ip": ip}
    return provider.http.post("/oauth2/device_authorization", auth=("shop", "s3cret"), data=form)


@pytest.mark.parametrize("ip", ["203.0.113.7", "2001:db8::7", "::ffff:203.0.113.7", "fe80::1", FULL, ""])
def test_a_scan_starts_for_any_address(provider: Service, ip: str) -> None:
    """IPv4, IPv6 and IPv4-mapped addresses are accepted in all forms, and so is an absent one."""
    assert start(provider, ip).status_code == 200


@pytest.mark.parametrize(
    "ip",
    [
        pytest.param("fe80::1%eth0", id="zone"),
        pytest.param("fe80::1%" + "z" * 60_000, id="long-zone"),
        pytest.param("fe80::1%a\n{}", id="zone-with-newline"),
        pytest.param("fe80::1%", id="empty-zone"),
        pytest.param("203.0.113.7\n", id="newline"),
        pytest.param("2001:db8::7\n", id="newline-v6"),
        pytest.param("::ffff:203.0.113.7%1", id="mapped-with-zone"),
        pytest.param("0" + FULL, id="too-long"),
        pytest.param("203.0.113.7, 10.0.0.1", id="list"),
    ],
)
def test_text_that_is_no_address_is_refused(provider: Service, ip: str) -> None:
    """A zone, a line break or more than an address is `invalid_request`, and the response does not repeat it."""
    refused = start(provider, ip)

    assert refused.status_code == 400
    assert refused.json() == {
        "error": "invalid_request",
        "error_description": "ip must be an IPv4 or IPv6 address, without a zone",
    }
