"""wechat-sandbox is independent: it needs only the dependencies in its pyproject.toml."""

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

from support import plain_http
from support.pages import ROOT
from support.servers import free_port, wait_until

PROJECT = tomllib.loads((ROOT / "sandbox/pyproject.toml").read_text(encoding="utf-8"))["project"]


def imported() -> set[str]:
    """Return the packages that the sandbox imports, without the standard library and its own."""
    names: set[str] = set()
    for path in (ROOT / "sandbox/src").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            match node:
                case ast.Import(names=aliases):
                    names |= {alias.name.partition(".")[0] for alias in aliases}
                case ast.ImportFrom(module=str(module)):
                    names.add(module.partition(".")[0])
    return names - sys.stdlib_module_names - {"wechat_sandbox"}


def test_it_declares_what_it_imports() -> None:
    """The dependencies of wechat-sandbox are exactly the packages that it imports."""
    declared = {re.split(r"[<>=\[ ]", each)[0].replace("-", "_") for each in PROJECT["dependencies"]}

    assert imported() == declared


def test_both_packages_have_one_version() -> None:
    """Both packages have the same version, because they are released together."""
    wxlogin = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

    assert PROJECT["version"] == wxlogin["version"]


def test_its_command_runs_without_wxlogin(tmp_path: Path) -> None:
    """`wechat-sandbox` works in a directory and an environment without wxlogin's settings."""
    port = free_port()
    command = [str(Path(sys.executable).parent / "wechat-sandbox"), "--port", str(port)]
    with subprocess.Popen(command, cwd=tmp_path, env={}, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr
            assert f"WeChat sandbox at http://127.0.0.1:{port}" in process.stderr.readline()
            wait_until(lambda: _gives_code(port), "a code")
        finally:
            process.terminate()

    assert process.returncode == 0


def _gives_code(port: int) -> bool:
    try:
        answer = plain_http.fetch(
            f"http://127.0.0.1:{port}/sandbox/codes",
            "POST",
            content=b'{"appid":"wx1"}',
            headers={"Content-Type": "application/json"},
        )
    except OSError:
        return False
    return bool(answer.json()["code"])
