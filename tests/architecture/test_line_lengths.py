"""Lines of the documentation are short enough for a review."""

import re

import pytest

from support.pages import ROOT

LENGTH = 120

IGNORED = {"node_modules", ".venv", "build", "dist"}

PAGES = [
    page.relative_to(ROOT).as_posix()
    for page in sorted(ROOT.rglob("*.md"))
    if not page.name.endswith(".zh-CN.md") and not IGNORED & set(page.relative_to(ROOT).parts)
]
"""The pages in English. Chinese text has no spaces at which a line can be wrapped."""

FENCED = re.compile(r"^ *```.*?^ *```$", re.MULTILINE | re.DOTALL)
UNBREAKABLE = re.compile(r"^ *\||://|[一-鿿]{8}")
"""A row of a table, a URL, or a quotation in Chinese."""


def long_lines(text: str) -> list[str]:
    """Return the lines of prose that are too long."""
    return [line for line in FENCED.sub("", text).splitlines() if len(line) > LENGTH and not UNBREAKABLE.search(line)]


@pytest.mark.parametrize("name", PAGES)
def test_a_page_has_no_long_line(name: str) -> None:
    """Prose is wrapped at 120 characters. Code, tables and URLs may be longer."""
    assert long_lines((ROOT / name).read_text(encoding="utf-8")) == []


def test_a_long_line_is_found() -> None:
    """The search finds prose, and leaves out what cannot be wrapped."""
    prose, row = "word " * 30, f"| {'cell ' * 30} |"
    url = f"[a page](https://example.com/{'x' * LENGTH})"

    assert long_lines(f"{prose}\n{row}\n{url}\n```\n{prose}\n```\n- {prose}\n") == [prose, f"- {prose}"]
