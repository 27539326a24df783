"""A backend that knows nothing of WeChat: it answers every request with what it received, as JSON."""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Echo(BaseHTTPRequestHandler):
    """Answers with the method, the path, every header as it came, and the body."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1  # send head and body at once: in two parts, the second waits 40 ms for the client's acknowledgement

    def answer(self) -> None:
        """Answer whatever method it was."""
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode("latin-1")
        received = {"method": self.command, "path": self.path, "headers": self.headers.items(), "body": body}
        content = json.dumps(received).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = answer  # noqa: N815  # the names that the class looks for


if __name__ == "__main__":
    port, host = int(sys.argv[1]), (sys.argv[2:] or ["127.0.0.1"])[0]
    ThreadingHTTPServer((host, port), Echo).serve_forever()
