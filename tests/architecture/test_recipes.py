"""The recipes in CONTRIBUTING.md name every list to which an adapter must be added."""

import re

import pytest

from support.pages import ROOT, table
from support.places import SESSION_PLACES

RECIPES = {"Add an identity provider": 6, "Add a session store": 5}
"""The sections, each with the maximum number of files."""

NOT_REGISTRATIONS = {"tests/support/twin.py", "tests/architecture/test_recipes.py", "tests/architecture/test_wiring.py"}
"""The twin itself, and tests of it."""


def files_of(recipe: str) -> list[str]:
    """Return the files of a recipe's table."""
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    (section,) = [part for part in page.split("\n## ") if part.startswith(f"{recipe}\n")]
    return [row[0].strip("`") for row in table(section, "file")]


@pytest.mark.parametrize(("recipe", "most"), RECIPES.items(), ids=RECIPES)
def test_a_recipe_is_short_and_its_files_exist(recipe: str, most: int) -> None:
    """A recipe has few files, and its existing files exist."""
    files = files_of(recipe)

    assert 0 < len(files) <= most
    assert [file for file in files if "<" not in file and not (ROOT / file).is_file()] == []


def test_the_recipes_name_every_list() -> None:
    """The names of the twin occur only in the files of the recipes."""
    registered = {
        str(path.relative_to(ROOT))
        for folder in ("src", "tests")
        for path in (ROOT / folder).rglob("*.py")
        if "node_modules" not in path.parts and re.search(r"\btwin|Twin", path.read_text(encoding="utf-8"))
    }

    assert registered - NOT_REGISTRATIONS <= {file for recipe in RECIPES for file in files_of(recipe)}
    assert "twin" in SESSION_PLACES
