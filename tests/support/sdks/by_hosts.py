"""The sandbox as https://api.weixin.qq.com, by the commands of docs/sdks.md, for programs that have no setting."""

import os
import random
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from support.pages import ROOT, blocks, section
from support.processes import clean_environment
from support.servers import free_port, wait_until

HTTPS = 443
FIRST_LOOPBACK, LAST_LOOPBACK = int(ip_address("127.1.0.1")), int(ip_address("127.254.255.254"))

RESOLVER = """\
import socket
resolve = socket.getaddrinfo
def getaddrinfo(host, port, *rest, **more):
    return resolve(*(("{address}", {port}) if host == "api.weixin.qq.com" else (host, port)), *rest, **more)
socket.getaddrinfo = getaddrinfo
"""
"""A sitecustomize for a process that can have neither a hosts file of its own nor a server on port 443."""


def can_have_hosts_file() -> bool:
    """Return whether this user may mount a hosts file for one process, and listen on port 443."""
    return os.geteuid() == 0 and subprocess.run(["unshare", "--mount", "true"], check=False).returncode == 0


@dataclass(frozen=True)
class Weixin:
    """A sandbox that has the name, the port and a certificate of api.weixin.qq.com for the programs that it runs."""

    address: str
    port: int
    directory: Path

    @property
    def certificate(self) -> Path:
        """Return the file that programs have to trust."""
        return self.directory / "weixin.pem"

    @property
    def url(self) -> str:
        """Return the URL for the controls, which this process can reach."""
        return f"https://{self.address}:{self.port}"

    def run_python(self, program: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a program for which api.weixin.qq.com is the sandbox, and which trusts its certificate."""
        environment = clean_environment() | {"REQUESTS_CA_BUNDLE": str(self.certificate), "NO_PROXY": "*"}
        command = [sys.executable, str(program), *arguments]
        if self.port == HTTPS:
            hosts = self.directory / "hosts"
            hosts.write_text(f"{self.address} api.weixin.qq.com\n")
            mount = f'mount --bind "{hosts}" /etc/hosts && exec "$@"'
            command = ["unshare", "--mount", "sh", "-c", mount, "sh", *command]
        else:
            (self.directory / "sitecustomize.py").write_text(RESOLVER.format(address=self.address, port=self.port))
            environment["PYTHONPATH"] = str(self.directory)
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)


@contextmanager
def weixin(directory: Path, *, hosts_file: bool) -> Iterator[Weixin]:
    """Run the sandbox with the page's commands: on port 443 of a loopback address of its own, or on a free port."""
    loopback = str(ip_address(random.randint(FIRST_LOOPBACK, LAST_LOOPBACK)))  # noqa: S311  # not a secret
    running = Weixin(loopback, HTTPS, directory) if hosts_file else Weixin("127.0.0.1", free_port(), directory)
    page = (ROOT / "docs/sdks.md").read_text(encoding="utf-8")
    certificate, sandbox = blocks(section(page, "Any SDK, unchanged"), "sh")[:2]
    subprocess.run(["sh", "-ec", certificate], cwd=directory, capture_output=True, check=True)
    command = sandbox.replace("sudo ", "").replace("127.0.0.1", running.address).replace("443", str(running.port))
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    with subprocess.Popen(["sh", "-ec", f"exec {command}"], cwd=directory, env=os.environ | {"PATH": path}) as server:
        try:
            wait_until(lambda: _listens(running) or server.poll() is not None, "the sandbox")
            yield running
        finally:
            server.kill()


def _listens(weixin: Weixin) -> bool:
    with suppress(OSError), socket.create_connection((weixin.address, weixin.port), timeout=1):
        return True
    return False
