"""/docs: the documentation of the API, which needs no internet access."""

import re
from base64 import b64encode
from hashlib import sha256
from html.parser import HTMLParser

import httpx2
import pytest

from support.processes import Service

TYPES = {".js": "text/javascript", ".css": "text/css"}


class Links(HTMLParser):
    """The addresses that a page makes a browser fetch."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # HTMLParser's signature
        """Record each address."""
        self.found.extend(value or "" for name, value in attrs if name in ("src", "href", "srcset", "action"))


@pytest.fixture
def page(service: Service) -> httpx2.Response:
    """The answer of /docs."""
    return service.http.get("/docs")


def assets_of(page: httpx2.Response) -> list[str]:
    """Return the page's own files, without data: URLs."""
    return [link for link in Links(page.text).found if not link.startswith("data:")]


def test_the_page_is_html(page: httpx2.Response) -> None:
    """/docs answers 200 with an HTML page."""
    assert page.status_code == 200
    assert page.headers["content-type"].startswith("text/html")


def test_the_page_needs_no_internet(page: httpx2.Response) -> None:
    """The page loads files from the service only, and names no other host."""
    links = assets_of(page)

    assert links
    assert [link for link in links if not link.startswith("/docs/")] == []
    assert "http://" not in page.text
    assert set(re.findall(r"https://([^/\"]+)", page.text)) <= {"example.com", "id.example.com"}  # of examples


def test_every_asset_is_served(service: Service, page: httpx2.Response) -> None:
    """Each file of the page answers 200, with its content type and real content."""
    for link in assets_of(page):
        asset = service.http.get(link)

        assert asset.status_code == 200
        assert asset.headers["content-type"].partition(";")[0] == TYPES["." + link.rpartition(".")[2]]
        assert len(asset.content) > 10_000


def test_no_stylesheet_loads_from_elsewhere(service: Service, page: httpx2.Response) -> None:
    """The stylesheets load no fonts and images from other hosts."""
    styles = [service.http.get(link).text for link in assets_of(page) if link.endswith(".css")]

    assert styles
    assert [style for style in styles if "url(http" in style or "url(//" in style or "@import" in style] == []


def test_the_page_has_script_and_style(page: httpx2.Response) -> None:
    """The page loads a script and a stylesheet."""
    assert {link.rpartition(".")[2] for link in assets_of(page)} == {"js", "css"}


@pytest.mark.parametrize(
    "name", ["no-such.js", "swagger_bundle.js.map", "__init__.py", "..%2f__init__.py", "..%2f..%2fetc%2fpasswd", "%00"]
)
def test_an_unknown_asset_is_404(service: Service, name: str) -> None:
    """An unknown file of the page is 404."""
    answer = service.http.get(f"/docs/assets/{name}")

    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


def test_the_schema_is_served_as_a_file(service: Service) -> None:
    """/docs/openapi.json is the API in OpenAPI 3.1."""
    answer = service.http.get("/docs/openapi.json")

    assert answer.status_code == 200
    assert answer.json()["openapi"].startswith("3.1")
    assert answer.json()["info"]["title"] == "wxlogin"


def test_the_page_shows_every_route(service: Service, page: httpx2.Response) -> None:
    """The page has each path of the schema."""
    paths = service.http.get("/docs/openapi.json").json()["paths"]

    assert paths
    assert [path for path in paths if f'"{path}"' not in page.text] == []


def policy_of(page: httpx2.Response) -> dict[str, list[str]]:
    """Return the directives of the page's Content-Security-Policy."""
    directives = [each.split() for each in page.headers["content-security-policy"].split(";")]
    return {name: sources for name, *sources in directives}


def test_the_policy_allows_only_the_pages_own_files(page: httpx2.Response) -> None:
    """The policy allows only this service's files, and inline scripts and styles by their hash."""
    inline = re.findall(r"<(script|style)\b[^>]*>([^<].*?)</\1>", page.text, re.DOTALL)
    hashes = {f"{tag}-src": f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'" for tag, text in inline}

    assert len(inline) == 2
    assert policy_of(page) == {
        "default-src": ["'none'"],
        "script-src": ["'self'", hashes["script-src"]],
        "style-src": ["'self'", hashes["style-src"]],
        "img-src": ["data:"],
        "connect-src": ["'self'"],
        "base-uri": ["'none'"],
        "form-action": ["'none'"],
        "frame-ancestors": ["'none'"],
    }


@pytest.mark.parametrize("path", ["/docs/swagger", "/docs/no-such-page", "/docs/oauth2-redirect.html"])
def test_every_page_has_a_policy(service: Service, path: str) -> None:
    """Every HTML page under /docs has a policy, and none receives tokens from another page."""
    answer = service.http.get(path)

    assert answer.headers["content-type"].startswith("text/html")
    assert policy_of(answer)["default-src"] == ["'none'"]
    assert answer.status_code == (200 if path == "/docs/swagger" else 404)
    assert "opener" not in answer.text
