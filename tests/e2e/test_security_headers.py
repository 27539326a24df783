"""Headers that restrict what a browser does with an answer."""

import pytest

from support.processes import Service

ASKED = [
    ("GET", "/healthz"),
    ("GET", "/readyz"),
    ("GET", "/metrics"),
    ("GET", "/docs"),
    ("GET", "/docs/openapi.json"),
    ("GET", "/docs/assets/swagger_style.css"),
    ("GET", "/v1/me"),
    ("POST", "/v1/sessions"),
    ("POST", "/login/"),
    ("GET", "/login/"),
    ("POST", "/oauth2/introspect"),
    ("DELETE", "/healthz"),
    ("GET", "/nowhere"),
]


@pytest.mark.parametrize(("method", "path"), ASKED, ids=lambda part: part)
def test_every_answer_has_the_security_headers(service: Service, method: str, path: str) -> None:
    """Every answer has X-Content-Type-Options: nosniff and Referrer-Policy: no-referrer, each once."""
    answer = service.http.request(method, path)

    assert answer.headers.get_list("x-content-type-options") == ["nosniff"]
    assert answer.headers.get_list("referrer-policy") == ["no-referrer"]
