"""Each page of the documentation and its Chinese page keep step."""

import re
from pathlib import Path

import pytest

from support.pages import ROOT

ENGLISH_ONLY = ROOT / "docs/decisions"
"""The folder of pages without a Chinese page."""

CHINESE = ".zh-CN.md"

DOCS = [
    page
    for page in sorted((ROOT / "docs").rglob("*.md"))
    if ENGLISH_ONLY not in page.parents and "node_modules" not in page.relative_to(ROOT).parts
]

ENGLISH = [page for page in DOCS if not page.name.endswith(CHINESE)]

OTHERS = ["clients/miniprogram", "examples/gateways", "examples/miniprogram", "examples/website", "sandbox"]

TRANSLATED = [*ENGLISH, *(ROOT / folder / "README.md" for folder in OTHERS)]
"""The pages that keep step. README.zh-CN.md is not one: it compares wxlogin with what Chinese readers know."""


def name_of(page: Path) -> str:
    """Return the path of a page in the repository."""
    return page.relative_to(ROOT).as_posix()


each_page = pytest.mark.parametrize("page", TRANSLATED, ids=name_of)

FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)

COMMENT = re.compile(r"[ \t]*(?:^|(?<=\s))(?:#|//) .*$", re.MULTILINE)


def chinese_of(page: Path) -> Path:
    """Return the path of the Chinese page of a page."""
    return page.with_name(page.stem + CHINESE)


def both(page: Path) -> tuple[str, str]:
    """Return the texts of a page and of its Chinese page."""
    return page.read_text(encoding="utf-8"), chinese_of(page).read_text(encoding="utf-8")


def headings(text: str) -> list[int]:
    """Return the levels of the headings."""
    return [len(marks) for marks in re.findall(r"^(#+) ", FENCED.sub("", text), re.MULTILINE)]


def code(text: str) -> list[tuple[str, str]]:
    """Return the language and the code of each block, without comments. The words of a diagram are left out."""
    return [(named, "" if named == "mermaid" else COMMENT.sub("", block)) for named, block in FENCED.findall(text)]


def invariants(row: str) -> tuple[set[str], list[str]]:
    """Return what no translation changes in a row of a table: its code, and the cells of numbers alone."""
    numeric = [cell for cell in row.strip("| ").split(" | ") if re.fullmatch(r"[-*\d.,、% ]+", cell)]
    return set(re.findall(r"`[^`]+`", row)), [number for cell in numeric for number in re.findall(r"-?[\d.]+", cell)]


def rows(text: str) -> list[tuple[set[str], list[str]]]:
    """Return what no translation changes in the rows of all tables."""
    return [invariants(line) for line in FENCED.sub("", text).splitlines() if line.startswith("|")]


def test_every_page_has_a_chinese_page() -> None:
    """Every page except for the decisions has a Chinese page, and every Chinese page has an English one."""
    assert {page for page in DOCS if page.name.endswith(CHINESE)} == {chinese_of(page) for page in ENGLISH}


@each_page
def test_the_languages_of_a_page_link_to_each_other(page: Path) -> None:
    """Each page has a link to its other language before its first section."""
    english, chinese = (text.split("\n## ")[0] for text in both(page))

    assert f"[中文]({chinese_of(page).name})" in english
    assert f"[English]({page.name})" in chinese


@each_page
def test_the_languages_of_a_page_have_the_same_sections(page: Path) -> None:
    """The headings of both languages have the same levels in the same order."""
    english, chinese = map(headings, both(page))

    assert english == chinese


@each_page
def test_the_languages_of_a_page_have_the_same_code(page: Path) -> None:
    """The blocks of code are the same in both languages, except for comments."""
    english, chinese = map(code, both(page))

    assert english == chinese


@each_page
def test_the_languages_of_a_page_have_the_same_tables(page: Path) -> None:
    """The rows of tables have the same code and the same numbers in both languages."""
    english, chinese = map(rows, both(page))

    assert english == chinese


@pytest.mark.parametrize("page", [*TRANSLATED, ROOT / "README.md"], ids=name_of)
def test_a_chinese_page_links_to_chinese_pages(page: Path) -> None:
    """A link of a Chinese page has a Chinese page as its target where one exists."""
    _, chinese = both(page)
    targets = [page.parent / link for link in re.findall(r"(?<!\[English\])\(([^)\s:#]+\.md)", FENCED.sub("", chinese))]

    assert [target for target in targets if chinese_of(target).exists()] == []


@each_page
def test_a_chinese_page_has_one_kind_of_quotation_marks(page: Path) -> None:
    """A Chinese page has no other quotation marks than “ ”."""
    _, chinese = both(page)

    assert set("「」『』‘’＂") & set(chinese) == set()
