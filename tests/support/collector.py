"""A collector of traces: OTLP over HTTP, on the loopback interface."""

import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


class Span(NamedTuple):
    """An exported span. Its ids are in hex."""

    name: str
    kind: int
    trace_id: str
    span_id: str
    parent_id: str
    attributes: dict[str, str]
    failed: bool


class Collector:
    """A running collector, with the received spans and the bytes that contained them."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.spans: list[Span] = []
        self.received = b""

    def take(self, body: bytes) -> None:
        """Add the spans of a request."""
        self.received += body
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            for scope in resource.scope_spans:
                self.spans += [
                    Span(
                        span.name,
                        span.kind,
                        span.trace_id.hex(),
                        span.span_id.hex(),
                        span.parent_span_id.hex(),
                        {each.key: each.value.string_value or str(each.value.int_value) for each in span.attributes},
                        span.status.code == 2,
                    )
                    for span in scope.spans
                ]

    def of(self, trace_id: str) -> list[Span]:
        """Return the spans of a trace."""
        return [span for span in self.spans if span.trace_id == trace_id]


@contextmanager
def collector() -> Iterator[Collector]:
    """Run a collector until the block ends."""

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:  # http.server requires this name
            body = self.rfile.read(int(self.headers["Content-Length"]))
            running.take(gzip.decompress(body) if self.headers["Content-Encoding"] == "gzip" else body)
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Receiver) as server:
        running = Collector(f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield running
        finally:
            server.shutdown()
            thread.join()
