"""The directory in which several workers count."""

import os
import tempfile
from pathlib import Path

import pytest

from entrypoints.metrics import DIRECTORY, shared_directory
from entrypoints.settings import SettingsError


def test_without_a_writable_directory_the_error_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Several workers are a SettingsError with a hint then, and one worker needs no directory."""
    monkeypatch.delenv(DIRECTORY, raising=False)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    with shared_directory(workers=1):
        assert DIRECTORY not in os.environ

    with pytest.raises(SettingsError, match="TMPDIR"), shared_directory(workers=2):
        pass
