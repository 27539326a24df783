"""The configurations of examples/gateways: the client headers that reach a backend, and the headers of TLS."""

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
"""Names that WeChat Cloud Run has, may add or never had. No gateway configuration lists them."""

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
"""Headers of a client that a backend may need."""

each_gateway = pytest.mark.parametrize("name", gateways.FOUND)


@pytest.fixture(scope="module")
def backend() -> Iterator[Backend]:
    """A backend that also answers /auth, accepts every request and names no user."""
    with gateways.backend() as running:
        yield running


@each_gateway
def test_the_backend_gets_no_wechat_header_of_the_client(name: str, backend: Backend, tmp_path: Path) -> None:
    """The backend gets no X-WX- header from the client, with any name."""
    with gateways.gateway(name, tmp_path, backend.port, backend.port) as url:
        answer = plain_http.fetch(f"{url}/orders", headers=dict.fromkeys(INVENTED, "forged"))

    assert answer.json()["path"] == "/orders"
    assert "forged" not in answer.text


@each_gateway
def test_a_backend_gets_what_a_client_sends(name: str, backend: Backend, tmp_path: Path) -> None:
    """The headers of HTTP, tracing and wx.request, and the body, reach the backend unchanged."""
    with gateways.gateway(name, tmp_path, backend.port, backend.port) as url:
        answer = plain_http.fetch(f"{url}/orders", "POST", headers=HONEST, content=b'{"a":1}').json()
    received = {header.lower(): value for header, value in answer["headers"]}

    assert {header: received.get(header.lower()) for header in HONEST} == HONEST
    assert answer["body"] == '{"a":1}'


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A PEM file with a self-signed certificate and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + datetime.timedelta(days=1))
    encoding = serialization.Encoding.PEM
    private = key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path = tmp_path_factory.mktemp("tls") / "localhost.pem"
    path.write_bytes(builder.sign(key, hashes.SHA256()).public_bytes(encoding) + private)
    return path


ENVOY_TLS = """\
        - transport_socket:
            name: tls
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext
              common_tls_context:
                tls_certificates:
                  - { certificate_chain: { filename: PEM }, private_key: { filename: PEM } }
          filters:
"""
"""The part of envoy.yaml that a certificate needs."""


def with_tls(text: str, pem: Path) -> str:
    """Return an example with a certificate, edited as its comments say."""
    changes = {
        "listen 127.0.0.1:8080;": f"listen 127.0.0.1:8080 ssl; ssl_certificate {pem}; ssl_certificate_key {pem};",
        "{$SITE:http://:8080} {": f"https://:8080 {{\n\ttls {pem} {pem}",
        "admin 127.0.0.1:2019": "admin 127.0.0.1:2019\n\tauto_https disable_redirects",
        "bind 127.0.0.1:8080": f"bind 127.0.0.1:8080 ssl crt {pem}",
        "    http:\n      underscore": "    http:\n      tls: {}\n      underscore",
        "        - filters:\n": ENVOY_TLS.replace("PEM", str(pem)),
        "# response_headers_to_add:": "response_headers_to_add:",
    }
    for before, after in changes.items():
        text = text.replace(before, after)
    return text


def statuses(url: str) -> dict[int, list[str]]:
    """Return the Strict-Transport-Security headers of a login and a backend request, by status."""
    with httpx2.Client(base_url=url, verify=False, timeout=20) as client:  # the certificate of a test
        answers = [client.post("/login/"), client.get("/orders")]
    return {answer.status_code: answer.headers.get_list("strict-transport-security") for answer in answers}


@each_gateway
def test_every_answer_over_tls_has_strict_transport_security(
    name: str, backend: Backend, certificate: Path, tmp_path: Path
) -> None:
    """Over TLS every answer, from wxlogin, the backend or the gateway itself, has Strict-Transport-Security."""
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
def test_no_answer_without_tls_has_strict_transport_security(name: str, backend: Backend, tmp_path: Path) -> None:
    """Without TLS no answer has Strict-Transport-Security (RFC 6797 section 7.2)."""
    with gateways.gateway(name, tmp_path, backend.port, backend.port) as url:
        assert statuses(url) == {200: []}
