"""The page on security names the tests that show its claims."""

import re

import pytest

from support.pages import ROOT, section, table

PAGE = (ROOT / "docs/security.md").read_text(encoding="utf-8")
TESTED = [name for name in re.findall(r"^## (.+)$", PAGE, re.MULTILINE) if name != "Scan to log in"]
"""The sections with a table of attacks. That of scans names its tests above its tables."""


@pytest.mark.parametrize("name", TESTED)
def test_each_row_names_its_tests(name: str) -> None:
    """Each attack of a section has at least one file of tests."""
    rows = table(section(PAGE, name), "an attacker tries to")

    assert rows
    assert [attempt for attempt, _, tests in rows if not re.fullmatch(r"`[^`]+`(, `[^`]+`)*", tests)] == []


def test_the_named_tests_exist() -> None:
    """Each file that the page names exists."""
    named = set(re.findall(r"`((?:unit|contract|e2e)/[^`]+)`", PAGE))

    assert len(named) > 30
    assert [name for name in sorted(named) if not (ROOT / "tests" / name).is_file()] == []
