"""`@wxlogin/client` as npm packs it: what is in it, what it does, and the projects that use it."""

import json
import re
import shutil
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.client_package import CLIENT, link_packages, run_node
from support.demo import Demo
from support.pages import ROOT, blocks
from support.processes import clean_environment, running

EXAMPLE = ROOT / "examples/miniprogram"
CONSUMERS = CLIENT / "test/consumers"


@pytest.fixture(scope="module")
def source(packed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout like the one from which the package was packed, which other processes use, too."""
    copy = tmp_path_factory.mktemp("checkout") / "source"
    return Path(shutil.copytree(packed.parent, copy, symlinks=True))


@pytest.fixture(scope="module")
def manifest(installed: Path) -> dict[str, Any]:
    """The package.json of the package."""
    found: dict[str, Any] = json.loads((installed / "@wxlogin/client/package.json").read_text())
    return found


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """A running demo."""
    with running("demo", "--port", "0", env=clean_environment(), cwd=tmp_path_factory.mktemp("demo")) as process:
        yield Demo(process)


def test_the_package_has_its_code_and_types_and_nothing_else(installed: Path) -> None:
    """The package has `miniprogram_dist` with a declaration for each module, and what npm adds to each package."""
    root = installed / "@wxlogin/client"
    files = {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}
    modules = {path.stem for path in (CLIENT / "src").iterdir()}

    assert files == {
        *(f"miniprogram_dist/{module}{suffix}" for module in modules for suffix in (".js", ".d.ts")),
        *("LICENSE", "README.md", "README.zh-CN.md", "package.json"),
    }


def test_an_installation_from_a_checkout_builds_the_package(source: Path, tmp_path: Path) -> None:
    """With a `file:` address, a project gets the built package, without its tools and not as a link."""
    (tmp_path / "package.json").write_text(json.dumps({"dependencies": {"@wxlogin/client": f"file:{source}"}}))
    shutil.copy(EXAMPLE / ".npmrc", tmp_path)
    run_node("npm", "install", "--offline", cwd=tmp_path)
    modules = tmp_path / "node_modules"

    assert (modules / "@wxlogin/client/miniprogram_dist/index.js").is_file()
    assert not (modules / "@wxlogin/client").is_symlink()
    assert [path.name for path in modules.iterdir() if not path.name.startswith(".")] == ["@wxlogin"]


def test_a_checkout_without_its_tools_is_not_packed(source: Path, tmp_path: Path) -> None:
    """If the package cannot be built, `npm pack` fails: an empty package would be found out on the phone only."""
    checkout = tmp_path / "checkout"
    shutil.copytree(source, checkout, ignore=shutil.ignore_patterns("node_modules", "miniprogram_dist", "*.tgz"))
    with pytest.raises(AssertionError, match="tsc"):
        run_node("npm", "pack", cwd=checkout)

    assert list(checkout.glob("*.tgz")) == []


def test_the_package_is_small(packed: Path) -> None:
    """The package is under 12 KB."""
    assert packed.stat().st_size < 12_000


def test_the_package_depends_on_nothing(manifest: dict[str, Any]) -> None:
    """The package has no dependencies, and runs no scripts when it is installed from a registry or a file."""
    assert not {"dependencies", "peerDependencies", "optionalDependencies"} & set(manifest)
    assert set(manifest["scripts"]) == {"build", "prepare"}


def test_the_package_has_the_version_of_the_service(manifest: dict[str, Any]) -> None:
    """One tag releases the service and its client, so they have one version."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

    assert manifest["version"] == project["version"]


def test_the_lock_names_no_registry() -> None:
    """Every package in the lock has a hash and no address."""
    packages: dict[str, dict[str, Any]] = json.loads((CLIENT / "package-lock.json").read_text())["packages"]
    del packages[""]

    assert packages
    assert all("integrity" in package and "resolved" not in package for package in packages.values())


def test_the_code_is_commonjs_of_es2017(installed: Path) -> None:
    """The code has no syntax after ES2017 and no modules of ES2015, which mini-programs may not read."""
    for path in (installed / "@wxlogin/client/miniprogram_dist").glob("*.js"):
        code = path.read_text()

        assert not re.search(r"\?\?|\?\.\w|^(import|export) |\{ ?\.\.\.|catch \{", code, re.MULTILINE), path.name


@pytest.mark.parametrize("consumer", sorted(path.name for path in CONSUMERS.iterdir()))
def test_a_project_that_uses_the_package_compiles(consumer: str, installed: Path, tmp_path: Path) -> None:
    """The packed types agree with those of WeChat, Taro and uni-app."""
    project = tmp_path / consumer
    shutil.copytree(CONSUMERS / consumer, project)
    (link_packages(project) / "@wxlogin").symlink_to(installed / "@wxlogin")
    run_node("node", CLIENT / "node_modules/typescript/bin/tsc", "--project", project, cwd=project)

    assert 'require("@wxlogin/client")' in (project / "dist/app.js").read_text()


@pytest.mark.parametrize("readme", ["README.md", "README.zh-CN.md"])
def test_the_typescript_of_the_readme_compiles(readme: str, installed: Path, tmp_path: Path) -> None:
    """The README's TypeScript, as the files that its first comments name, is a part of a mini-program that compiles."""
    shutil.copy(CONSUMERS / "typescript/tsconfig.json", tmp_path)
    for block in blocks((CLIENT / readme).read_text(encoding="utf-8"), "ts"):
        path = tmp_path / block.splitlines()[0].removeprefix("// ")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block, encoding="utf-8")
    (link_packages(tmp_path) / "@wxlogin").symlink_to(installed / "@wxlogin")
    run_node("node", CLIENT / "node_modules/typescript/bin/tsc", "--project", tmp_path, cwd=tmp_path)

    assert (tmp_path / "dist/client.js").is_file()
    assert list(tmp_path.glob("dist/pages/*/*.js"))


@pytest.mark.parametrize(
    "tests", [CLIENT / "test/client.test.js", EXAMPLE / "test/pages.test.js"], ids=lambda path: path.stem
)
def test_the_package_and_the_example_work(tests: Path, demo: Demo, installed: Path) -> None:
    """The tests of the client and of the example mini-program pass against the demo."""
    output = run_node("node", "--test", tests, cwd=ROOT, WXLOGIN_URL=demo.url, NODE_PATH=str(installed))

    assert re.search(r"^. pass [1-9]", output, re.MULTILINE)
    assert re.search(r"^. skipped 0$", output, re.MULTILINE)
