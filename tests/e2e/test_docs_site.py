"""The documentation as a site, as `make docs` builds it, in a real browser."""

import functools
import html
import re
import subprocess
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote, unquote

import pytest

from support import browser
from support.pages import ROOT

PAGES = ("README.html", "docs/architecture.html", "zh-CN/docs/mini-program.html")

PHONE = """
<iframe src="/{page}" width="390" height="800" onload="
    const page = this.contentDocument;
    const scrolled = [page.documentElement, page.querySelector('.content')];
    this.title = Math.max(...scrolled.map(each => each.scrollWidth - each.clientWidth)) + ' pixels hidden';
"></iframe>
"""
"""A page on the screen of a phone, with what is beside the screen."""


class Handler(SimpleHTTPRequestHandler):
    """Serves files, and lets a browser load nothing from another host: it reports an attempt as an error."""

    def end_headers(self) -> None:
        """Add the policy."""
        self.send_header("Content-Security-Policy", "default-src 'self' 'unsafe-inline' 'unsafe-eval' data:")
        super().end_headers()

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a built site."""
    directory = tmp_path_factory.mktemp("docs") / "site"
    subprocess.run(["make", "docs", f"SITE={directory}"], cwd=ROOT, check=True, capture_output=True, timeout=200)
    return directory


@pytest.fixture(scope="module")
def url(site: Path) -> Iterator[str]:
    """The address of the site."""
    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(site))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def links(page: Path) -> list[str]:
    """Return what a page links to or loads, except other sites."""
    found = re.findall(r'\s(?:href|src)="([^"]+)"', page.read_text(encoding="utf-8"))
    return [html.unescape(link) for link in found if not re.match(r"[a-z]+:", link)]


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page."""
    return {html.unescape(name) for name in re.findall(r'\sid="([^"]+)"', page.read_text(encoding="utf-8"))}


def test_every_link_has_a_target(site: Path) -> None:
    """Every link of every page, in both languages, has an existing target, and an existing heading in it."""
    missing = []
    for page in site.rglob("*.html"):
        for link in links(page):
            file, _, anchor = link.partition("#")
            target = page.parent / unquote(file.partition("?")[0]) if file else page
            if not target.is_file() or (anchor and unquote(anchor) not in anchors(target)):
                missing.append((page.relative_to(site).as_posix(), link))

    assert missing == []


def other_language(page: Path) -> tuple[str, Path] | None:
    """Return the language of a page, and where the page in the other language is, if it links to it."""
    text = page.read_text(encoding="utf-8")
    link = re.search(r'class="other-language" href="([^"]+)"', text)
    language = re.search(r'<html[^>]* lang="([^"]+)"', text)
    return (language[1], (page.parent / link[1]).resolve()) if link and language else None


def test_the_language_link_leads_to_the_same_page(site: Path) -> None:
    """Each page links to the same page in the other language."""
    for source in (ROOT / "docs").glob("*.md"):
        name = source.name.removesuffix(".md").removesuffix(".zh-CN") + ".html"
        english, chinese = site / "docs" / name, site / "zh-CN/docs" / name

        assert other_language(english) == ("en", chinese)
        assert other_language(chinese) == ("zh-CN", english)


@pytest.mark.parametrize("page", PAGES)
def test_a_page_loads_nothing_from_another_host(url: str, page: str, tmp_path: Path) -> None:
    """A browser shows the page and its diagrams without an error in its console and without another host."""
    shown = browser.show(f"{url}/{page}", tmp_path)

    assert shown.console == []
    assert ("<svg id=" in shown.html) == ('class="mermaid"' in shown.html)


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("search.html?q=session_key", "docs/mini-program.html"),
        ("zh-CN/search.html?q=会话", "docs/mini-program.html"),
        ("zh-CN/search.html?q=更换加密密钥 Redis", "README.html"),
    ],
)
def test_the_search_finds(url: str, query: str, found: str, tmp_path: Path) -> None:
    """The search of each language finds English words, Chinese words, and Chinese words without spaces between them."""
    shown = browser.show(f"{url}/{quote(query, safe='/?=')}", tmp_path)
    results = re.findall(r'<li class="[^"]*kind-[^>]*><a href="([^"?#]+)', shown.html)

    assert found in results
    assert shown.console == []


def test_the_pages_fit_on_a_phone(site: Path, url: str, tmp_path: Path) -> None:
    """A screen of 390 pixels shows every part of a page without scrolling it sideways."""
    phones = "".join(PHONE.format(page=page) for page in [*PAGES, "docs/settings.html"])
    (site / "phones.html").write_text(phones, encoding="utf-8")
    shown = browser.show(f"{url}/phones.html", tmp_path)

    assert re.findall(r'title="(.*?)"', shown.html) == ["0 pixels hidden"] * 4
