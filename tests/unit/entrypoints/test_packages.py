"""Other distributions with the names of wxlogin's packages."""

from pathlib import Path

import pytest

from entrypoints.packages import PACKAGES, foreign_owners
from support.pages import ROOT


def install(directory: Path, name: str, package: str) -> None:
    """Write what pip leaves of a distribution with one package."""
    information = directory / f"{name}-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n", encoding="utf-8")
    (information / "RECORD").write_text(f"{package}/__init__.py,,\n", encoding="utf-8")


def test_a_distribution_with_the_name_of_a_package_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A distribution that installs one of wxlogin's packages is named, and no other."""
    before = foreign_owners()
    install(tmp_path, "adapters-of-others", "adapters")
    install(tmp_path, "unrelated", "unrelated")
    monkeypatch.syspath_prepend(tmp_path)

    assert before == {}
    assert foreign_owners() == {"adapters": ["adapters-of-others"]}


def test_all_packages_are_checked() -> None:
    """The names that are checked are the packages of the sources."""
    assert sorted(PACKAGES) == sorted(path.parent.name for path in (ROOT / "src").glob("*/__init__.py"))
