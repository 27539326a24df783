"""A library whose private parts are used has an upper bound: each release of it may change them."""

import ast
import importlib
import inspect
import pkgutil
import re
import sys
import textwrap
import tomllib
from collections.abc import Iterator
from importlib import metadata
from itertools import chain
from types import ModuleType

import pytest
from pydantic_settings import EnvSettingsSource

from entrypoints.http.engine import Engine
from support.pages import ROOT

PRIVATE_PARTS = {
    "granian": ("overrides a method of its server", "tests/unit/entrypoints/test_engine.py"),
    "prometheus-client": ("replaces the class of its values", "tests/unit/entrypoints/test_metrics.py"),
    "redis": ("knows how a closed connection refuses a command", "tests/contract/test_redis_client.py"),
}
"""The libraries whose private or undocumented parts are used: what uses them, and the tests that fail first."""

PACKAGES = ("domain", "application", "adapters", "entrypoints", "wechat_sandbox")
MIGRATIONS = "adapters.sql.migrations"
"""Alembic runs them as scripts."""

DISTRIBUTIONS = metadata.packages_distributions()


def modules() -> Iterator[ModuleType]:
    """Import and yield all modules of the project."""
    for name in PACKAGES:
        package = importlib.import_module(name)
        yield package
        for found in pkgutil.walk_packages(package.__path__, f"{name}."):
            if not found.name.startswith(MIGRATIONS):
                yield importlib.import_module(found.name)


def is_private(name: str) -> bool:
    """Return whether a name has one underscore in front."""
    return name.startswith("_") and not name.startswith("__")


def is_foreign(module: str) -> bool:
    """Return whether a module is one of another project, and not of Python."""
    return module.split(".")[0] not in {*PACKAGES, *sys.stdlib_module_names}


def own_private_names(kind: type) -> set[str]:
    """Return the private methods of a class of the project, and the private attributes that its methods use."""
    nodes = [*ast.walk(ast.parse(textwrap.dedent(inspect.getsource(kind))))]
    methods = {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    attributes = {
        node.attr
        for node in nodes
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) in ("self", "cls", "super()")
    }
    return {name for name in methods | attributes if is_private(name)}


def known_names(kind: type) -> set[str]:
    """Return the names that a class of a library has, and those that its methods use."""
    functions = [getattr(member, "__wrapped__", member) for member in vars(kind).values()]
    used = [function.__code__.co_names for function in functions if inspect.isfunction(function)]
    return {*vars(kind), *chain.from_iterable(used)}


def private_parts_of_bases(kind: type) -> set[str]:
    """Return the libraries of which a class uses private parts by inheritance. Ruff's SLF001 finds other uses."""
    foreign = [base for base in kind.__mro__[1:] if is_foreign(base.__module__)]
    own = own_private_names(kind) if foreign else set()
    return {_distribution(base.__module__) for base in foreign if own & known_names(base)}


def private_imports(source: str) -> set[str]:
    """Return the libraries of which a source file imports a private module or name."""
    imported = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {_distribution(name) for name in imported if is_foreign(name) and any(map(is_private, name.split(".")))}


def _distribution(module: str) -> str:
    return DISTRIBUTIONS[module.split(".")[0]][0].replace("_", "-").lower()


def test_every_library_with_used_private_parts_is_known() -> None:
    """Only libraries in PRIVATE_PARTS have a private method overridden, or a private name used or imported."""
    used: set[str] = set()
    for module in modules():
        used |= private_imports(inspect.getsource(module))
        for kind in vars(module).values():
            if inspect.isclass(kind) and kind.__module__ == module.__name__:
                used |= private_parts_of_bases(kind)

    assert "granian" in used
    assert used <= PRIVATE_PARTS.keys()


@pytest.mark.parametrize("library", PRIVATE_PARTS)
def test_a_library_with_used_private_parts_has_an_upper_bound(library: str) -> None:
    """No release that may change the private parts is installed automatically, and tests of them exist."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (required,) = [each for each in project["dependencies"] if re.match(rf"{library}[^\w-]", each)]
    _, tests = PRIVATE_PARTS[library]

    assert re.fullmatch(r"[\w-]+>=[\d.]+,<\d+\.\d+", required)
    assert (ROOT / tests).is_file()


def test_an_overridden_private_method_is_found() -> None:
    """An override of a private method, and an import of a private module, are found."""

    class Planted(EnvSettingsSource):
        def _load_env_vars(self) -> dict[str, str | None]:
            return {}

    assert private_parts_of_bases(Planted) == {"pydantic-settings"}
    assert private_parts_of_bases(Engine) == {"granian"}
    assert private_imports("from redis._parsers import BaseParser\nimport httpx2._client\nimport os") == {
        "redis",
        "httpx2",
    }
