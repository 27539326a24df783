"""The sandbox is for demos and tests, and not part of the served application."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.processes import clean_environment

ROOT = Path(__file__).parents[2]

SCRIPT = """
import sys
from entrypoints.cli.main import main
try:
    main([{command!r}])
except SystemExit as ended:
    assert ended.code == 5, ended.code
print("\\n".join(name for name in sys.modules if name.startswith("entrypoints")))
"""


def loaded_by(command: str, directory: Path) -> set[str]:
    """Return the modules of the project that a command imports, until it stops because of missing settings."""
    env = clean_environment() | {"WXLOGIN_SECRETS_DIR": str(directory)}
    script = SCRIPT.format(command=command)
    ran = subprocess.run(
        [sys.executable, "-c", script], env=env, capture_output=True, text=True, timeout=60, check=False
    )
    assert ran.returncode == 0, ran.stderr
    return set(ran.stdout.split())


@pytest.mark.parametrize(
    ("command", "module"),
    [("serve", "entrypoints.http.app"), ("worker", "entrypoints.worker")],
    ids=["serve", "worker"],
)
def test_serve_and_worker_import_no_sandbox(command: str, module: str, tmp_path: Path) -> None:
    """`wxlogin serve` and `wxlogin worker` import neither the sandbox nor the demo."""
    loaded = loaded_by(command, tmp_path)

    assert module in loaded
    assert [name for name in loaded if name.startswith(("wechat_sandbox", "entrypoints.demo"))] == []
    assert "entrypoints.cli.demo" not in loaded


def test_help_imports_no_libraries() -> None:
    """`wxlogin --help` imports none of the libraries that the commands need."""
    script = "import sys\nfrom entrypoints.cli.main import main\ntry: main(['--help'])\nexcept SystemExit: pass\n"
    script += (
        "print(sorted({'litestar', 'sqlalchemy', 'redis', 'httpx2', 'pydantic'} & set(sys.modules)), file=sys.stderr)"
    )
    env = os.environ | {"TERM": "dumb"}
    ran = subprocess.run(
        [sys.executable, "-c", script], env=env, capture_output=True, text=True, timeout=60, check=True
    )

    assert ran.stderr.strip() == "[]"
