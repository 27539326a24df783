"""The gateways of examples/gateways, really run: from their own files, on other ports."""

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
"""What Debian's nginx.conf is around a file in conf.d, without root's directories."""


def nginx(binary: str, directory: Path) -> list[str]:
    """How to run nginx."""
    main = directory / "main.conf"
    main.write_text(NGINX.format(directory), encoding="utf-8")
    return [binary, "-e", f"{directory}/error.log", "-c", str(main)]


def caddy(binary: str, directory: Path) -> list[str]:
    """How to run Caddy, which keeps its state in HOME."""
    return ["env", f"HOME={directory}", binary, "run", "--adapter", "caddyfile", "--config", f"{directory}/Caddyfile"]


def haproxy(binary: str, directory: Path) -> list[str]:
    """How to run HAProxy in the foreground."""
    return [binary, "-db", "-f", f"{directory}/haproxy.cfg"]


def traefik(binary: str, directory: Path) -> list[str]:
    """How to run Traefik, whose configuration names a second file relative to where it runs."""
    return ["env", f"--chdir={directory}", binary, "--configFile=traefik.yml"]


COMMANDS: dict[str, Callable[[str, Path], list[str]]] = {
    "nginx": nginx,
    "caddy": caddy,
    "haproxy": haproxy,
    "traefik": traefik,
}
WHEELS = str(Path(sys.executable).parent)
"""Traefik, which Debian does not have, is a wheel."""


def find_gateway(name: str) -> str | None:
    """The path of a gateway's binary, or None."""
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
    """The URL of a running gateway before wxlogin and backend on these ports; `directory` is where its files go.

    `edit` changes the text of each file, as a user would, who has a certificate for one. `other` is the port of a
    second instance of wxlogin; without it, both that the examples name are the one there is.
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
    """Whether it answers for a path. Traefik listens before it has read its routes, and its certificate."""
    try:
        return httpx2.get(url, verify=False).status_code != httpx2.codes.NOT_FOUND  # a test's certificate
    except httpx2.TransportError:
        return False


def on_ports(text: str, ports: dict[int, int]) -> str:
    """An example with other ports, and nothing else changed."""
    return re.sub(r"(?<=:)\d{4}\b", lambda port: str(ports[int(port[0])]), text)


class Backend:
    """A running examples/gateways/backend.py, with what has reached it."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.reached: list[BaseHTTPRequestHandler] = []


@contextmanager
def backend() -> Iterator[Backend]:
    """The example's backend as it is; but it says 204 to /auth, so that it can be what a gateway takes for wxlogin."""

    class Recorded(runpy.run_path(str(EXAMPLES / "backend.py"))["Echo"]):  # type: ignore[misc]
        def do_GET(self) -> None:  # noqa: N802  # the name that the class looks for
            if self.path == "/auth":
                self.send_response(204)
                self.end_headers()
            else:
                self.answer()

        def log_message(self, *_: object) -> None:
            running.reached.append(copy(self))

    class Patient(ThreadingHTTPServer):
        request_queue_size = 128

        def handle_error(self, *_: object) -> None:
            """Say nothing: a killed gateway hangs up, and whatever else goes wrong costs a test its answer."""

    with Patient(("127.0.0.1", 0), Recorded) as server:
        running = Backend(server.server_port)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield running
        finally:
            server.shutdown()
            thread.join()
