"""The wheels, built and used as users do: in an environment outside the checkout."""

import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

from support.pages import ROOT


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Both wheels, as `make dist` builds them."""
    directory = tmp_path_factory.mktemp("dist")
    build = ["wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", str(directory)]
    subprocess.run([sys.executable, "-m", "pip", *build, "./sandbox", "."], cwd=ROOT, check=True, timeout=120)
    return sorted(directory.glob("*.whl"))


@pytest.fixture(scope="module")
def commands(wheels: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The commands of an environment with the wheels. It has the locked packages, but not the checkout."""
    directory = tmp_path_factory.mktemp("environment")
    venv.create(directory, symlinks=True)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    packages = directory / "lib" / version / "site-packages"
    (packages / "locked.pth").write_text(sysconfig.get_path("purelib"), encoding="utf-8")
    install = ["--python", str(directory / "bin/python"), "install", "--quiet", "--no-deps", "--ignore-installed"]
    subprocess.run([sys.executable, "-m", "pip", *install, *map(str, wheels)], check=True, timeout=120)
    return directory / "bin"


def test_the_wheels_have_the_packages_and_nothing_else(wheels: list[Path]) -> None:
    """A wheel has its packages and its metadata: no test, no benchmark, no document."""
    contents = {wheel.name.partition("-")[0]: zipfile.ZipFile(wheel).namelist() for wheel in wheels}
    tops = {name: {path.partition("/")[0].partition("-")[0] for path in paths} for name, paths in contents.items()}

    assert tops == {
        "wechat_sandbox": {"wechat_sandbox"},
        "wxlogin": {"domain", "application", "adapters", "entrypoints", "wxlogin"},
    }
    assert all(
        f"{name}/py.typed" in contents["wxlogin"] for name in ("domain", "application", "adapters", "entrypoints")
    )


def test_the_wheels_describe_themselves(wheels: list[Path]) -> None:
    """The metadata of a wheel has a description, a licence file, and the Python versions."""
    for wheel in wheels:
        with zipfile.ZipFile(wheel) as archive:
            (name,) = [path for path in archive.namelist() if path.endswith(".dist-info/METADATA")]
            metadata = archive.read(name).decode()

        assert "Description-Content-Type: text/markdown" in metadata
        assert "License-File: LICENSE" in metadata
        assert "Requires-Python: >=3.11" in metadata


def test_the_demo_of_the_wheel_logs_a_user_in(commands: Path, tmp_path: Path) -> None:
    """`wxlogin demo --once` works outside the checkout."""
    done = subprocess.run(
        [commands / "wxlogin", "demo", "--once", "--port", "0"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert done.returncode == 0, done.stderr
    assert "One login took" in done.stdout


@pytest.mark.parametrize("command", ["wxlogin", "wechat-sandbox"])
def test_the_commands_of_the_wheels_start(commands: Path, tmp_path: Path, command: str) -> None:
    """Each command prints its help outside the checkout."""
    done = subprocess.run([commands / command, "--help"], cwd=tmp_path, capture_output=True, text=True, timeout=60)

    assert (done.returncode, done.stderr) == (0, "")
    assert "Usage" in done.stdout
