"""The container image, built once: by Docker, or by Podman on a Debian that debootstrap makes."""

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from support.pages import ROOT

BASE = "docker.io/library/debian:trixie-slim"
"""The Dockerfile's base."""

SLIM = ("usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/info", "var/cache/apt", "var/lib/apt/lists")
"""What Debian's slim images leave out."""

NOT_CONFINED = ("--network", "host", "--ulimit", "nofile=4096:4096", "--ulimit", "nproc=4096:4096")
"""Podman runs inside other containers with these: they may not set up networks or raise limits."""

UNPRIVILEGED_BUILD = ("--pull-never", "--isolation", "chroot", *NOT_CONFINED)
"""The same for builds, from images of this machine only."""


@dataclass(frozen=True)
class Engine:
    """Docker or Podman: its command, and options of its builds and runs."""

    command: Sequence[str]
    build_options: Sequence[str] = ()
    run_options: Sequence[str] = field(default=("--network", "host"))

    def __call__(self, *arguments: str, seconds: float = 60) -> subprocess.CompletedProcess[str]:
        """Run a command of the engine to its end."""
        command = [*self.command, *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False)

    def output(self, *arguments: str) -> str:
        """Return what a command of the engine prints. It must succeed."""
        done = self(*arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a container with these options, image and arguments."""
        return self("run", *self.run_options, *arguments)


def find_engine() -> Engine:
    """Return Docker if its engine answers, else Podman, for which a base is made here if it has none."""
    if shutil.which("docker") and subprocess.run(["docker", "info"], capture_output=True, check=False).returncode == 0:
        return Engine(["docker"])
    engine = Engine(
        ["podman", "--runtime", "runc", "--log-level", "error"],
        [*UNPRIVILEGED_BUILD, *certificates()],
        ["--no-healthcheck", *NOT_CONFINED],
    )
    if engine("image", "exists", BASE).returncode:
        import_debian(engine)
    return engine


def certificates() -> list[str]:
    """Return the options of a build that give it this machine's certificates, if pip is told to use them."""
    found = os.environ.get("PIP_CERT")
    return ["--volume", f"{found}:/usr/local/share/ca-certificates/tests.crt:ro"] if found else []


def import_debian(engine: Engine) -> None:
    """Make Debian with debootstrap, from this machine's mirror, and import it under the name of the base."""
    targets = ["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages"]
    mirror = subprocess.run(targets, capture_output=True, text=True, check=True).stdout.splitlines()[0]
    root = Path("/var/tmp/wxlogin-debian")  # noqa: S108  # a root file system needs a directory that allows devices
    shutil.rmtree(root, ignore_errors=True)
    try:
        subprocess.run(["debootstrap", "--variant=minbase", "trixie", root, mirror], check=True, capture_output=True)
        for each in SLIM:
            shutil.rmtree(root / each, ignore_errors=True)
        with subprocess.Popen(["tar", "--directory", root, "--create", "."], stdout=subprocess.PIPE) as archive:
            subprocess.run([*engine.command, "import", "-", BASE], stdin=archive.stdout, check=True)
    finally:
        shutil.rmtree(root, ignore_errors=True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give the first test of a module the time to make Debian, to build the images and to start the services."""
    for item in items:
        if item.path.parent == Path(__file__).parent:
            item.add_marker(pytest.mark.timeout(1800))


@pytest.fixture(scope="session")
def engine() -> Engine:
    """What builds and runs containers here."""
    return find_engine()


@pytest.fixture(scope="session")
def image(engine: Engine) -> str:
    """The name of the image that `make image` has built."""
    command = ["make", "image", f"ARGS={' '.join(engine.build_options)}"]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=1200, check=False)
    assert built.returncode == 0, built.stdout[-2000:] + built.stderr[-2000:]
    version = re.search(r'^version = "(.*)"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert version
    return f"wxlogin:{version[1]}"
