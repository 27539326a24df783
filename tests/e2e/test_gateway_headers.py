"""The configurations of examples/gateways: which of a client's headers a backend gets, and what TLS adds."""

import datetime
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from support import gateways, plain_http
from support.gateways import Backend
from support.servers import free_port

HSTS = "max-age=31536000"
INVENTED = ["X-WX-SERVICE", "X-WX-ANYTHING", "X-WX-CALL-ID", "X-WX-GATEWAY-ID", "X-WX-", "x-wx-region", "X_WX_SERVICE"]
"""Names that WeChat Cloud Run has, may get or never had: no gateway knows them by name."""

HONEST = {
    "Accept": "application/json",
    "Accept-Encoding": "gzip",
    "Accept-Language": "zh-CN",
    "Content-Type": "application/json",
    "Content-Encoding": "identity",
    "Cookie": "a=1; b=2",
    "Idempotency-Key": "k1",
    "If-Match": '"e1"',
    "If-Modified-Since": "Wed, 21 Oct 2015 07:28:00 GMT",
    "If-None-Match": '"e2"',
    "If-Range": '"e3"',
    "If-Unmodified-Since": "Wed, 21 Oct 2015 07:28:00 GMT",
    "Origin": "https://example.com",
    "Range": "bytes=0-9",
    "Referer": "https://servicewechat.com/wx0123456789abcdef/1/page-frame.html",
    "Traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    "Tracestate": "a=b",
    "User-Agent": "MicroMessenger/8.0.49",
    "X-Request-Id": "r1",
    "X-Requested-With": "XMLHttpRequest",
}
"""What a backend may need of a client."""

each_gateway = pytest.mark.parametrize("name", gateways.FOUND)


@pytest.fixture(scope="module")
def backend() -> Iterator[Backend]:
    """A backend that is also an /auth that lets every request in and names no user."""
    with gateways.backend() as running:
        yield running


@each_gateway
def test_no_header_of_wechats_is_the_clients(name: str, backend: Backend, tmp_path: Path) -> None:
    """Whatever X-WX- name a client thinks of, the backend does not get it from the client."""
    with gateways.gateway(name, tmp_path, backend.port, backend.port) as url:
        answer = plain_http.ask(f"{url}/orders", headers=dict.fromkeys(INVENTED, "forged"))

    assert answer.json()["path"] == "/orders"
    assert "forged" not in answer.text


@each_gateway
def test_a_backend_gets_what_a_client_sends(name: str, backend: Backend, tmp_path: Path) -> None:
    """The headers that HTTP, tracing and wx.request know reach the backend as they were sent, and so does the body."""
    with gateways.gateway(name, tmp_path, backend.port, backend.port) as url:
        answer = plain_http.ask(f"{url}/orders", "POST", headers=HONEST, content=b'{"a":1}').json()
    received = {header.lower(): value for header, value in answer["headers"]}

    assert {header: received.get(header.lower()) for header in HONEST} == HONEST
    assert answer["body"] == '{"a":1}'


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A PEM file with a certificate that signs itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + datetime.timedelta(days=1))
    encoding = serialization.Encoding.PEM
    private = key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path = tmp_path_factory.mktemp("tls") / "localhost.pem"
    path.write_bytes(builder.sign(key, hashes.SHA256()).public_bytes(encoding) + private)
    return path


def with_tls(text: str, pem: Path) -> str:
    """An example with a certificate, as its comments say."""
    changes = {
        "listen 127.0.0.1:8080;": f"listen 127.0.0.1:8080 ssl; ssl_certificate {pem}; ssl_certificate_key {pem};",
        "http://:8080 {": f"https://:8080 {{\n\ttls {pem} {pem}",
        "admin 127.0.0.1:2019": "admin 127.0.0.1:2019\n\tauto_https disable_redirects",
        "bind 127.0.0.1:8080": f"bind 127.0.0.1:8080 ssl crt {pem}",
        "    http:\n      underscore": "    http:\n      tls: {}\n      underscore",
    }
    for before, after in changes.items():
        text = text.replace(before, after)
    return text


def statuses(url: str) -> dict[int, list[str]]:
    """By status, the Strict-Transport-Security of a login, of a backend's answer and of a refusal."""
    with httpx2.Client(base_url=url, verify=False, timeout=20) as client:  # a test's certificate
        answers = [client.post("/login/"), client.get("/orders")]
    return {answer.status_code: answer.headers.get_list("strict-transport-security") for answer in answers}


@each_gateway
def test_every_answer_over_tls_asks_for_tls(name: str, backend: Backend, certificate: Path, tmp_path: Path) -> None:
    """A browser that was here once comes back over TLS only; wxlogin, the backend and the gateway ask for it."""
    unused = free_port()

    def edit(text: str) -> str:
        return with_tls(text, certificate)

    with gateways.gateway(name, tmp_path, backend.port, backend.port, edit, "https") as url:
        answered = statuses(url)
    with gateways.gateway(name, tmp_path, unused, backend.port, edit, "https") as url:
        refused = statuses(url)

    assert answered == {200: [HSTS]}
    assert {status // 100 for status in refused} == {5}
    assert set(map(tuple, refused.values())) == {(HSTS,)}


@each_gateway
def test_no_answer_without_tls_asks_for_it(name: str, backend: Backend, tmp_path: Path) -> None:
    """RFC 6797 section 7.2: the field is not sent over plain HTTP."""
    with gateways.gateway(name, tmp_path, backend.port, backend.port) as url:
        assert statuses(url) == {200: []}
