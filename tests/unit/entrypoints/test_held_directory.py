"""Temporary directories that outlive nobody who uses them."""

import os
from pathlib import Path

import pytest

from entrypoints.held_directory import held_directory, hold

PREFIX = "counts-"


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary files are."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


def test_a_directory_is_private_and_goes_with_what_is_in_it(temporary: Path) -> None:
    """Nobody else can read it, and nothing is left of it."""
    with held_directory(PREFIX) as directory:
        (directory / "file").touch()

        assert directory.parent == temporary
        assert directory.stat().st_mode & 0o777 == 0o700
    assert list(temporary.iterdir()) == []


def test_what_was_left_behind_goes_at_the_next_start(temporary: Path) -> None:
    """A directory whose processes were all killed goes when somebody makes another one."""
    left = temporary / f"{PREFIX}left"
    left.mkdir()
    (left / "file").touch()
    with held_directory(PREFIX) as directory:
        assert list(temporary.iterdir()) == [directory]


def test_what_somebody_uses_stays(temporary: Path) -> None:
    """A directory that any process holds stays, until the last one lets go."""
    used = temporary / f"{PREFIX}used"
    used.mkdir()
    locks = [hold(used), hold(used)]
    for lock in locks:
        with held_directory(PREFIX) as first, held_directory(PREFIX) as second:
            assert {*temporary.iterdir()} == {used, first, second}
        os.close(lock)
    with held_directory(PREFIX) as directory:
        assert list(temporary.iterdir()) == [directory]


def test_nothing_else_goes(temporary: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """What has another name, or is no directory, is not ours to remove, and no link leads anywhere."""
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (temporary / "other").mkdir()
    (temporary / f"{PREFIX}file").touch()
    (temporary / f"{PREFIX}link").symlink_to(elsewhere)
    with held_directory(PREFIX):
        pass

    assert {path.name for path in temporary.iterdir()} == {"other", f"{PREFIX}file", f"{PREFIX}link"}
    assert elsewhere.exists()
