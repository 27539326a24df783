"""The gateways of examples/gateways, run with their own files on other ports."""

import os
import re
import runpy
import shutil
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import copy
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx2

from support.pages import ROOT
from support.servers import Server, free_port, wait_until

EXAMPLES = ROOT / "examples" / "gateways"
WXLOGIN, OTHER_WXLOGIN, BACKEND, GATEWAY, AUTH, CADDYS_ADMIN = 8000, 8002, 9000, 8080, 8079, 2019
"""The ports that the examples name."""

NGINX = """\
daemon off;
master_process off;
pid {0}/pid;
error_log {0}/error.log;
events {{ }}
http {{
    access_log off;
    client_body_temp_path {0}/body;
    proxy_temp_path {0}/proxy;
    fastcgi_temp_path {0}/fastcgi;
    uwsgi_temp_path {0}/uwsgi;
    scgi_temp_path {0}/scgi;
    include {0}/nginx.conf;
}}
"""
"""The text that Debian's nginx.conf has around a file in conf.d, without root's directories."""


def nginx(binary: str, directory: Path) -> list[str]:
    """Return the command that runs nginx."""
    main = directory / "main.conf"
    main.write_text(NGINX.format(directory), encoding="utf-8")
    return [binary, "-e", f"{directory}/error.log", "-c", str(main)]


def caddy(binary: str, directory: Path) -> list[str]:
    """Return the command that runs Caddy, which stores its state in HOME."""
    return ["env", f"HOME={directory}", binary, "run", "--adapter", "caddyfile", "--config", f"{directory}/Caddyfile"]


def haproxy(binary: str, directory: Path) -> list[str]:
    """Return the command that runs HAProxy in the foreground."""
    return [binary, "-db", "-f", f"{directory}/haproxy.cfg"]


def traefik(binary: str, directory: Path) -> list[str]:
    """Return the command that runs Traefik.

    Its configuration names a second file, relative to its working directory.
    """
    return ["env", f"--chdir={directory}", binary, "--configFile=traefik.yml"]


def envoy(binary: str, directory: Path) -> list[str]:
    """Return the command that runs Envoy, beside others on the same machine."""
    return [
        binary,
        "--disable-hot-restart",
        "--concurrency",
        "1",
        "--log-level",
        "warning",
        "-c",
        f"{directory}/envoy.yaml",
    ]


COMMANDS: dict[str, Callable[[str, Path], list[str]]] = {
    "nginx": nginx,
    "caddy": caddy,
    "haproxy": haproxy,
    "traefik": traefik,
    "envoy": envoy,
}
WHEELS = str(Path(sys.executable).parent)
"""The directory of Traefik's and Envoy's binaries, which are wheels because Debian does not package them."""


def find_gateway(name: str) -> str | None:
    """Return the path of a gateway's binary, or None."""
    places = [os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin", WHEELS]
    return shutil.which(name, path=os.pathsep.join(places))


FOUND = [name for name in COMMANDS if find_gateway(name)]
"""The gateways that this machine has."""


@contextmanager
def gateway(
    name: str,
    directory: Path,
    wxlogin: int,
    backend: int,
    edit: Callable[[str], str] = str,
    scheme: str = "http",
    other: int | None = None,
) -> Iterator[str]:
    """Run a gateway before wxlogin and backend on these ports, with its files in `directory`, and yield its URL.

    `edit` changes the text of each file, as a user with a certificate does. `other` is the port of a second instance of
    wxlogin. Without it, both instances in the examples are the same one.
    """
    binary = find_gateway(name)
    assert binary
    ports = {
        WXLOGIN: wxlogin,
        OTHER_WXLOGIN: other or wxlogin,
        BACKEND: backend,
        **{port: free_port() for port in (GATEWAY, AUTH, CADDYS_ADMIN)},
    }
    for file in EXAMPLES.iterdir():
        if file.suffix != ".md":
            text = edit(file.read_text(encoding="utf-8"))
            (directory / file.name).write_text(on_ports(text, ports), encoding="utf-8")
    server = Server(COMMANDS[name](binary, directory), ports[GATEWAY])
    server.start()
    try:
        url = f"{scheme}://127.0.0.1:{server.port}"
        wait_until(lambda: _knows_its_routes(url), "the gateway's routes")
        yield url
    finally:
        server.kill()


def _knows_its_routes(url: str) -> bool:
    """Return whether the gateway answers for a path.

    Traefik listens before it has read its routes and its certificate.
    """
    try:
        return httpx2.get(url, verify=False).status_code != httpx2.codes.NOT_FOUND  # the certificate of a test
    except httpx2.TransportError:
        return False


def on_ports(text: str, ports: dict[int, int]) -> str:
    """Return an example with other ports."""
    return re.sub(r"(?:(?<=:)|(?<=port_value: ))\d{4}\b", lambda port: str(ports[int(port[0])]), text)


class Backend:
    """A running examples/gateways/backend.py, with the requests that it received."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.reached: list[BaseHTTPRequestHandler] = []


@contextmanager
def backend() -> Iterator[Backend]:
    """Run the example's backend. It also answers /auth with 204, so that a gateway can use it in place of wxlogin."""

    class Recorded(runpy.run_path(str(EXAMPLES / "backend.py"))["Echo"]):  # type: ignore[misc]
        def do_GET(self) -> None:  # noqa: N802  # http.server requires this name
            if self.path.startswith("/auth"):
                self.send_response(204 if self.path == "/auth" else 200)
                self.send_header("Content-Length", "0")
                self.end_headers()
            else:
                self.answer()

        do_POST = do_GET  # noqa: N815  # Envoy asks with the client's method

        def log_message(self, *_: object) -> None:
            running.reached.append(copy(self))

    class Patient(ThreadingHTTPServer):
        request_queue_size = 128

        def handle_error(self, *_: object) -> None:
            """Ignore errors. A killed gateway closes its connections, and a missing answer shows any other failure."""

    with Patient(("127.0.0.1", 0), Recorded) as server:
        running = Backend(server.server_port)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield running
        finally:
            server.shutdown()
            thread.join()
