"""The data about the caller in a request."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from litestar.testing import RequestFactory
from litestar.types import Scope

from domain.device import Device
from domain.errors import RequestInvalid
from entrypoints.http.dependencies import device_of, login_context_of, network_of, token_of

TOKEN = "x" * 43


def authorized(*values: str) -> list[tuple[bytes, bytes]]:
    """Return raw headers with an Authorization field for each value."""
    return [(b"authorization", value.encode("utf-8")) for value in values]


def asked(headers: dict[str, str]) -> Scope:
    """Return a request with these headers."""
    return RequestFactory(server="203.0.113.7").get("/", headers=headers).scope


@pytest.mark.parametrize(
    "header",
    ["Bearer {}", "bearer {}", "BEARER {}", "Bearer   {}", "  Bearer {}  ", "Bearer {} ", "bEaReR  {}\t"],
)
def test_a_bearer_token_is_found(header: str) -> None:
    """The scheme Bearer is not case-sensitive (RFC 9110), and spaces around the token are ignored."""
    assert token_of(authorized(header.format(TOKEN))) == TOKEN


@pytest.mark.parametrize(
    "headers",
    [[], [""], [" "], ["Bearer"], ["Bearer "], ["Basic dXNlcjpwYXNz"], [TOKEN], ["Token x"], ["Bearer:x"], ["\tx"]],
    ids=str,
)
def test_a_request_without_a_bearer_token_has_none(headers: list[str]) -> None:
    """A request without the header, with another scheme, or with a scheme only has no token."""
    assert token_of(authorized(*headers)) == ""


def test_two_authorization_headers_are_refused() -> None:
    """Two Authorization headers raise RequestInvalid, because a gateway may have checked either of them."""
    with pytest.raises(RequestInvalid, match="several"):
        token_of(authorized(f"Bearer {TOKEN}", f"Bearer {TOKEN}"))


@given(header=st.binary(max_size=50))
def test_any_header_bytes_give_a_token_of_text(header: bytes) -> None:
    """For any bytes in the header, the token is text without spaces around it."""
    token = token_of([(b"authorization", header)])

    assert token == token.strip()
    assert token in header.decode("latin-1")


@pytest.mark.parametrize(
    ("referer", "appid"),
    [
        ("https://servicewechat.com/wx0123456789abcdef/0/page-frame.html", "wx0123456789abcdef"),
        ("https://servicewechat.com/wx0123456789abcdef/devtools/page-frame.html", "wx0123456789abcdef"),
        ("https://servicewechat.com/wx0123456789abcdef/12/page-frame.html", "wx0123456789abcdef"),
        ("https://servicewechat.com/wx0123456789abcdef", None),
        ("https://servicewechat.com//0/", None),
        ("https://servicewechat.com/wx 1/0/", None),
        (f"https://servicewechat.com/{'a' * 65}/0/", None),
        ("http://servicewechat.com/wx1/0/", None),
        ("https://servicewechat.com.evil.example/wx1/0/", None),
        ("https://servicewechatxcom/wx1/0/", None),
        ("https://evil.example/https://servicewechat.com/wx1/0/", None),
        (" https://servicewechat.com/wx1/0/", None),
        ("", None),
    ],
)
def test_the_referer_of_a_mini_program_has_its_appid(referer: str, appid: str | None) -> None:
    """Only the exact Referer of WeChat gives the appid."""
    assert login_context_of(asked({"referer": referer})).referer_appid == appid


def test_without_a_referer_there_is_no_appid() -> None:
    """Without a Referer there is no appid."""
    assert login_context_of(asked({})).referer_appid is None


@pytest.fixture
def client_with() -> Callable[[dict[str, str]], Device]:
    """A function that returns the device of a request with these headers."""
    return lambda headers: device_of(asked(headers))


def test_a_device_is_its_user_agent_and_address(client_with: Callable[[dict[str, str]], Device]) -> None:
    """A device has the User-Agent and the address of the request."""
    client = client_with({"user-agent": "MicroMessenger/8.0"})

    assert client == Device("MicroMessenger/8.0", "203.0.113.7")


@pytest.mark.parametrize("headers", [{}, {"user-agent": ""}], ids=["none", "empty"])
def test_a_device_without_a_user_agent_has_none(
    headers: dict[str, str], client_with: Callable[[dict[str, str]], Device]
) -> None:
    """An empty User-Agent is treated as a missing one."""
    assert client_with(headers).user_agent is None


def test_a_long_user_agent_is_shortened(client_with: Callable[[dict[str, str]], Device]) -> None:
    """A User-Agent is shortened to 256 characters."""
    assert client_with({"user-agent": "a" * 8000}).user_agent == "a" * 256


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2::7", "2001:db8:1:2::/64"),
        ("2001:DB8:1:2:ffff:ffff:ffff:ffff", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::7", "2001:db8:1:3::/64"),
        ("::1", "::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
    ],
)
def test_an_address_counts_as_its_network(address: str, network: str) -> None:
    """An IPv4 address counts as itself in any notation. An IPv6 address counts as its /64."""
    scope = asked({})
    scope["client"] = (address, 0)

    assert network_of(scope) == network


@pytest.mark.parametrize(
    ("address", "known", "counted"),
    [
        ("192.0.2.7", "192.0.2.7", "192.0.2.7"),
        ("2001:db8::7", "2001:db8::7", "2001:db8::/64"),
        ("unknown", None, "unknown"),
        ("_hidden", None, "unknown"),
        ("192.0.2.7:80", None, "unknown"),
        ("x" * 8000, None, "unknown"),
        ("fe80::1%" + "x" * 8000, None, "unknown"),
        ("", None, None),
    ],
    ids=lambda value: str(value)[:20],
)
def test_a_client_address_that_is_not_an_ip_address_is_unknown(
    address: str, known: str | None, counted: str | None
) -> None:
    """An address from a proxy that is not an IP address, or is too long, is not stored.

    All of them count as one client.
    """
    scope = asked({})
    scope["client"] = (address, 0)

    assert (device_of(scope).ip, network_of(scope)) == (known, counted)
