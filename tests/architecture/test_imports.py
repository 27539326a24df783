"""The import contracts of pyproject.toml hold, and each contract detects a violation."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CONTRACTS = [
    contract["name"]
    for contract in tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
]

VIOLATIONS = [
    ("Arrows point inwards", "domain/user.py", "import application.ports"),
    ("Arrows point inwards", "application/login.py", "from adapters.memory.session_store import MemorySessionStore"),
    ("Arrows point inwards", "application/sessions.py", "def later():\n    import entrypoints.settings"),
    ("Arrows point inwards", "adapters/redis/client.py", "from entrypoints.settings import Settings"),
    ("Domain and application know no framework", "domain/identity.py", "import msgspec"),
    (
        "Domain and application know no framework",
        "application/users.py",
        "from sqlalchemy.ext.asyncio import AsyncEngine",
    ),
    (
        "Domain and application know no framework",
        "application/ports/probe.py",
        "from httpx2._client import AsyncClient",
    ),
    ("Only the container names adapters", "entrypoints/http/login.py", "from adapters.wechat.errcodes import ERRCODES"),
    ("Only the container names adapters", "entrypoints/jobs.py", "import adapters"),
    ("Only the container names adapters", "entrypoints/cli/running.py", "def f():\n    import adapters.sql.schema"),
    ("Technologies do not know each other", "adapters/sql/probe.py", "from adapters.redis.client import create_client"),
    ("Technologies do not know each other", "adapters/memory/session_store.py", "import adapters.wechat.errcodes"),
    ("Only the demo knows the sandbox", "entrypoints/doctor.py", "import wechat_sandbox.errcodes"),
    ("Only the demo knows the sandbox", "adapters/wechat/api.py", "def later():\n    import wechat_sandbox.wechat"),
    ("The sandbox shares nothing with what it tests", "wechat_sandbox/wechat.py", "import domain.identity"),
    ("The sandbox shares nothing with what it tests", "wechat_sandbox/asgi.py", "import entrypoints.settings"),
    ("The sandbox shares nothing with what it tests", "wechat_sandbox/api.py", "import entrypoints.http.errors"),
]


def lint(directory: Path) -> subprocess.CompletedProcess[str]:
    """Run import-linter over the `src` of a directory, with its pyproject.toml."""
    command = [str(Path(sys.executable).parent / "lint-imports"), "--no-cache", "--no-logo"]
    path = os.pathsep.join([str(directory / "src"), str(directory / "sandbox/src")])
    env = os.environ | {"PYTHONPATH": path, "COLUMNS": "200", "NO_COLOR": "1"}
    return subprocess.run(command, cwd=directory, env=env, capture_output=True, text=True, timeout=120, check=False)


def verdicts(output: str) -> dict[str, str]:
    """Return KEPT or BROKEN for each contract."""
    return {
        name: verdict for name in CONTRACTS for verdict in re.findall(rf"^{name} (KEPT|BROKEN)", output, re.MULTILINE)
    }


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the project's sources, which a test changes."""
    for sources in ("src", "sandbox/src"):
        shutil.copytree(ROOT / sources, tmp_path / sources, ignore=shutil.ignore_patterns("__pycache__", ".*"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_the_contracts_hold() -> None:
    """No import of the sources breaks a contract, and every contract is checked."""
    ran = lint(ROOT)

    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert verdicts(ran.stdout) == dict.fromkeys(CONTRACTS, "KEPT")


def test_every_contract_is_tested_with_a_violation() -> None:
    """Every contract has a violation in this file."""
    assert {violation[0] for violation in VIOLATIONS} == set(CONTRACTS)


@pytest.mark.parametrize(("contract", "path", "line"), VIOLATIONS)
def test_a_violation_is_caught(contract: str, path: str, line: str, copy: Path) -> None:
    """An outward import breaks its contract, and the report names the module."""
    file = copy / ("sandbox/src" if path.startswith("wechat_sandbox/") else "src") / path
    file.write_text(f"{file.read_text(encoding='utf-8')}\n{line}\n", encoding="utf-8")
    ran = lint(copy)
    broken = {name for name, verdict in verdicts(ran.stdout).items() if verdict == "BROKEN"}

    assert ran.returncode == 1, ran.stdout + ran.stderr
    assert contract in broken
    assert path.removesuffix(".py").replace("/", ".") in ran.stdout


@pytest.mark.parametrize(
    ("package", "line", "contract"),
    [
        ("domain/deep", "import litestar", "Domain and application know no framework"),
        ("adapters/mongo", "import adapters.sql.database", "Technologies do not know each other"),
    ],
)
def test_a_new_package_is_checked(package: str, line: str, contract: str, copy: Path) -> None:
    """Contracts apply to each new package at any depth, without a registration."""
    folder = copy / "src" / package
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "new.py").write_text(f"{line}\n", encoding="utf-8")
    ran = lint(copy)

    assert verdicts(ran.stdout)[contract] == "BROKEN", ran.stdout
    assert f"{package.replace('/', '.')}.new" in ran.stdout


def test_domain_and_application_need_only_python() -> None:
    """Domain and application import only the standard library and each other."""
    script = (
        "import sys, pkgutil, importlib, domain, application\n"
        "for package in (domain, application):\n"
        "    for module in pkgutil.walk_packages(package.__path__, package.__name__ + '.'):\n"
        "        importlib.import_module(module.name)\n"
        "print('\\n'.join(sorted({name.partition('.')[0] for name in sys.modules})))"
    )
    command = [sys.executable, "-S", "-c", script]
    env = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    ran = subprocess.run(command, env=env, capture_output=True, text=True, check=False)

    assert ran.returncode == 0, ran.stderr
    loaded = {name for name in ran.stdout.split() if not name.startswith("_")}
    assert loaded - sys.stdlib_module_names == {"domain", "application"}
