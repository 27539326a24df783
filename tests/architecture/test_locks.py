"""Every installed package is locked by its hash, the installers included."""

import re
import subprocess
from importlib import metadata
from pathlib import Path

import pytest

from support.pages import ROOT

LOCKS = sorted(path.name for path in (ROOT / "requirements").glob("*.txt"))
PINNED = re.compile(
    r"^([\w.-]+(?:\[[\w,-]+\])?)==(\S+)(?: ; [^\\]+)?(?: \\\n    --hash=sha256:[0-9a-f]{64})+$", re.MULTILINE
)


def pins(lock: str) -> dict[str, str]:
    """Return the versions of a lock, by package."""
    text = (ROOT / "requirements" / lock).read_text(encoding="utf-8")
    found = dict(PINNED.findall(text))
    assert PINNED.sub("", text).strip() == ""
    return found


@pytest.mark.parametrize("lock", LOCKS)
def test_every_package_is_locked_by_its_hash(lock: str) -> None:
    """A lock has only versions and hashes, and no address of a registry."""
    assert pins(lock)


def test_the_installers_are_those_of_the_lock() -> None:
    """The installed versions of pip and setuptools are those of the lock."""
    assert {name: metadata.version(name) for name in ("pip", "setuptools")} == pins("pip.txt")


def test_the_locks_agree() -> None:
    """A package has the same version in all locks."""
    versions: dict[str, set[str]] = {}
    for lock in LOCKS:
        for name, version in pins(lock).items():
            versions.setdefault(name, set()).add(version)

    assert {name: each for name, each in versions.items() if len(each) > 1} == {}


def test_pip_is_replaced_before_it_installs_anything_else(tmp_path: Path) -> None:
    """`make install` first installs the locked pip, and then all other packages with it."""
    command = ["make", "--dry-run", "install", f"VENV={tmp_path}/venv"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=60)
    installed = [line.split("pip install ")[1] for line in done.stdout.splitlines() if "pip install " in line]

    assert [re.findall(r"requirements/\S+|--editable", line) for line in installed] == [
        ["requirements/pip.txt"],
        ["requirements/runtime.txt", "requirements/build.txt"],
        ["--editable", "--editable"],
    ]
    assert all("--require-hashes" in line for line in installed[:-1])
    assert "--no-deps --no-build-isolation" in installed[-1]
