"""A WeChat that draws mini-program codes, in front of the sandbox, which answers all other calls."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx2

from support import plain_http
from support.processes import Sandbox

JPEG = b"\xff\xd8\xff\xe0\x00\x10JFIF"
PATH = "/wxa/getwxacodeunlimit"


class Drawing:
    """What is drawn, and how."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.calls: list[dict[str, Any]] = []
        self.errcode = 0
        self.seconds = 0.0

    def draw(self, body: bytes) -> tuple[str, bytes]:
        """Return the content type and the body of the answer: a picture of a real one's size, or an errcode."""
        self.calls.append(json.loads(body))
        time.sleep(self.seconds)
        if self.errcode:
            return "application/json", json.dumps({"errcode": self.errcode, "errmsg": "no rid: 1-2-3"}).encode()
        return "image/jpeg", JPEG + self.calls[-1]["scene"].encode() + bytes(195_000)


@contextmanager
def drawing_wechat(sandbox: Sandbox) -> Iterator[Drawing]:
    """Serve it until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        """Draws, or passes a call on."""

        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            """Pass a call on."""
            self._answer(b"")

        def do_POST(self) -> None:
            """Draw, or pass a call on."""
            self._answer(self.rfile.read(int(self.headers["content-length"])))

        def _answer(self, body: bytes) -> None:
            if self.path.startswith(PATH):
                kind, content = drawing.draw(body)
            else:
                kind, content = pass_on(self, body)
            self.send_response(200)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    def pass_on(handler: Handler, body: bytes) -> tuple[str, bytes]:
        headers = {"content-type": handler.headers.get("content-type", "")} if body else {}
        answer: httpx2.Response = client.request(handler.command, handler.path, content=body, headers=headers)
        return answer.headers["content-type"], answer.content

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    drawing = Drawing(f"http://127.0.0.1:{server.server_port}")
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with plain_http.client(base_url=sandbox.url) as client:
        try:
            yield drawing
        finally:
            server.shutdown()
            server.server_close()
