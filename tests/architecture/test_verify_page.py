"""The page on the verification of tokens agrees with the examples."""

import re

import pytest

from support.backends import COMMANDS, EXAMPLES
from support.pages import ROOT, blocks, table

PAGES = {name: (ROOT / "docs" / name).read_text(encoding="utf-8") for name in ("verify.md", "verify.zh-CN.md")}
FIRST_COLUMN = {"verify.md": "backend", "verify.zh-CN.md": "后端"}
RUN = {"verify.md": "yes", "verify.zh-CN.md": "是"}

LANGUAGES = {
    ".py": "python",
    ".js": "js",
    ".go": "go",
    ".php": "php",
    ".java": "java",
    ".yaml": "yaml",
}
"""The language of a block, by the suffix of its file."""

FILES = sorted(
    path
    for path in EXAMPLES.rglob("*")
    if path.suffix in LANGUAGES and not {"node_modules", "__pycache__", "target"} & set(path.parts)
)

each_page = pytest.mark.parametrize("page", PAGES)


@each_page
def test_the_page_shows_the_files_of_the_examples(page: str) -> None:
    """The code on the page is the text of the example files, each once, and nothing else."""
    shown = [(language, text) for language in LANGUAGES.values() for text in blocks(PAGES[page], language)]
    files = [(LANGUAGES[path.suffix], path.read_text(encoding="utf-8")) for path in FILES]

    assert sorted(shown) == sorted(files)


@each_page
def test_the_page_says_which_backends_are_run(page: str) -> None:
    """The page has all examples, and marks as run those that the tests run."""
    rows = table(PAGES[page], FIRST_COLUMN[page])
    linked = {re.findall(r"examples/backends/([\w-]+)\)", row[0])[0]: row[-1] == RUN[page] for row in rows}

    assert linked == {path.name: path.name in COMMANDS for path in EXAMPLES.iterdir() if path.is_dir()}


@each_page
def test_the_pages_variables_are_those_of_the_examples(page: str) -> None:
    """The page names the variables that the examples read, and no others."""
    read = {name for path in FILES for name in re.findall(r"\bOAUTH_\w+", path.read_text(encoding="utf-8"))}
    rows = table(PAGES[page], "variable" if page == "verify.md" else "变量")

    assert {name for row in rows for name in re.findall(r"\w+", row[0])} == read
