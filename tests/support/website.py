"""The website of examples/website, and the phones that scan its code."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import zxingcpp
from PIL import Image
from playwright.sync_api import Page, expect

from support import plain_http
from support.client_package import BIN, node_environment
from support.pages import ROOT
from support.processes import APPID, clean_environment
from support.servers import accepts, free_port, wait_until

WEBSITE = ROOT / "examples/website"
MINIPROGRAM = ROOT / "examples/miniprogram"


@contextmanager
def website(wxlogin: str, client_id: str, secret: str) -> Iterator[str]:
    """Run the website with its own command, and return its address."""
    port = free_port()
    given = {"WXLOGIN_URL": wxlogin, "OAUTH_CLIENT_ID": client_id, "OAUTH_CLIENT_SECRET": secret}
    command = [sys.executable, "-m", "uvicorn", "website:app", "--port", str(port)]
    with subprocess.Popen(command, cwd=WEBSITE, env=clean_environment() | given, stderr=subprocess.DEVNULL) as process:
        try:
            wait_until(lambda: accepts(port) or process.poll() is not None, "the website")
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


CAMERA, LONG_PRESS = 1047, 1048
"""What WeChat says of how the mini-program was opened: a scan by the camera, and a long press on a picture."""


class Phone:
    """A user's phone with the example mini-program, run by Node.js with a fake of wx."""

    def __init__(self, process: "subprocess.Popen[str]", sandbox: str) -> None:
        self._process = process
        self._sandbox = sandbox

    def scan(self, page: Page) -> dict[str, Any]:
        """Scan the code on the page, and return what the phone shows then."""
        return self.open(read_scene(page))

    def open(self, scene: str, entered: int = CAMERA) -> dict[str, Any]:
        """Open the page of the code with this scene, as a scan does, and return what it shows."""
        order = {"scene": scene, "appid": APPID}
        opened = plain_http.fetch(f"{self._sandbox}/sandbox/scan", "POST", json=order).json()
        return self._do("open", **opened, entered=entered)

    def approve(self, number: str) -> dict[str, Any]:
        """Pick the number, and allow the login."""
        self._do("pick", number=number)
        return self._do("approve")

    def deny(self) -> dict[str, Any]:
        """Refuse the login."""
        return self._do("deny")

    def devices(self) -> list[dict[str, Any]]:
        """Return the list of devices, as the phone shows it."""
        shown: list[dict[str, Any]] = self._do("devices")["devices"]
        return shown

    def end_others(self) -> None:
        """Log all other devices out."""
        for device in self.devices():
            if not device["current"]:
                self._do("end", id=device["id"])

    def _do(self, command: str, **options: Any) -> dict[str, Any]:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps({"command": command, **options}) + "\n")
        self._process.stdin.flush()
        shown: dict[str, Any] = json.loads(self._process.stdout.readline())
        return shown


@contextmanager
def phone(wxlogin: str, sandbox: str, modules: Path) -> Iterator[Phone]:
    """Run the phone of a new user until the block ends."""
    env = node_environment(
        EXAMPLE=str(MINIPROGRAM), WXLOGIN_URL=wxlogin, SANDBOX_URL=sandbox, APPID=APPID, NODE_PATH=str(modules)
    )
    command = [BIN / "node", Path(__file__).with_name("phone.js")]
    with subprocess.Popen(command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield Phone(process, sandbox)
        assert process.stdin
        process.stdin.close()


def read_scene(page: Page) -> str:
    """Return the scene of the code that a QR reader finds on a screenshot of the page."""
    expect(page.locator("#number")).to_be_visible()
    page.locator("#picture").evaluate("picture => picture.decode()")
    with Image.open(BytesIO(page.screenshot())) as screenshot:
        (found,) = zxingcpp.read_barcodes(screenshot)
    text, _, scene = found.text.partition("?scene=")
    assert text == f"wxacode:{APPID}/pages/scan/scan"
    return unquote(scene)
