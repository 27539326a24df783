"""`@wxlogin/client` as npm builds and packs it."""

import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

from support.pages import ROOT
from support.processes import clean_environment

CLIENT = ROOT / "clients/miniprogram"
BIN = Path(sys.executable).parent
"""Where the Node.js of the wheel is."""


def node_environment(**variables: str) -> dict[str, str]:
    """Return the environment of `node` and `npm`."""
    return {**clean_environment(), "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", **variables}


def run_node(*command: str | Path, cwd: Path, **variables: str) -> str:
    """Run `node` or `npm` and return its output. It must end with status 0."""
    done = subprocess.run(
        [BIN / command[0], *command[1:]],
        cwd=cwd,
        env=node_environment(**variables),
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def link_packages(directory: Path) -> Path:
    """Link the installed packages into `node_modules` of a directory, and return it."""
    modules = directory / "node_modules"
    modules.mkdir()
    for package in (CLIENT / "node_modules").iterdir():
        (modules / package.name).symlink_to(package)
    return modules


def pack(source: Path) -> Path:
    """Build and pack the client in an empty directory, and return the package."""
    ignored = shutil.ignore_patterns("node_modules", "miniprogram_dist")
    shutil.copytree(CLIENT, source, ignore=ignored, dirs_exist_ok=True)
    link_packages(source)
    return source / run_node("npm", "pack", cwd=source).split()[-1]


def install(packed: Path, modules: Path) -> None:
    """Unpack the package into a directory of modules, as an installation does."""
    with tarfile.open(packed) as archive:
        archive.extractall(modules, filter="data")
    (modules / "@wxlogin").mkdir()
    (modules / "package").rename(modules / "@wxlogin/client")
