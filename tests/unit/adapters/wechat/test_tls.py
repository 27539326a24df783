"""WeChat over TLS."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Self

import httpx2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from adapters.wechat.api import create_transport

pytestmark = pytest.mark.anyio


def certificate(folder: Path, host: str) -> Path:
    """Return a file with a key and its self-signed certificate for a server of that name."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file = folder / f"{host}.pem"
    file.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return file


class TlsServer:
    """A server of that name on a loopback port, which counts its requests."""

    def __init__(self, certified: Path) -> None:
        self._context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._context.load_cert_chain(certified)
        self.requests = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._answer, "127.0.0.1", 0, ssl=self._context)
        self.url = f"https://localhost:{self._server.sockets[0].getsockname()[1]}/sns"
        return self

    async def __aexit__(self, *_exception: object) -> None:
        self._server.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, OSError):
            while await reader.readuntil(b"\r\n\r\n"):
                self.requests += 1
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        writer.close()


async def send(transport: httpx2.AsyncBaseTransport, url: str) -> bytes:
    """Return the body of the answer to a GET."""
    response = await transport.handle_async_request(httpx2.Request("GET", url))
    return await response.aread()


@pytest.fixture
async def server(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[TlsServer]:
    """A server with a certificate for the name in the test's parameter."""
    async with TlsServer(certificate(tmp_path, request.param)) as server:
        yield server


@pytest.mark.parametrize("server", ["localhost"], indirect=True)
async def test_a_trusted_server_gets_requests(
    server: TlsServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two requests to a trusted server are answered over TLS."""
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "localhost.pem"))
    async with create_transport() as transport:
        answers = [await send(transport, server.url) for _ in range(2)]

    assert answers == [b"{}", b"{}"]
    assert server.requests == 2


@pytest.mark.parametrize(("server", "trusted"), [("localhost", "no"), ("elsewhere", "elsewhere")], indirect=["server"])
async def test_a_server_that_is_not_wechat_gets_nothing(
    server: TlsServer, trusted: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server with an untrusted certificate, or one for another name, gets no request and so no AppSecret."""
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / f"{trusted}.pem"))
    async with create_transport() as transport:
        with pytest.raises(httpx2.NetworkError, match="ClientConnectorCertificateError"):
            await send(transport, server.url)

    assert server.requests == 0
