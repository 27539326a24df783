"""The documentation is what the code is."""

import ast
import json
import os
import re
import shlex
import tomllib
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner
from pydantic import SecretStr

from adapters.wechat.errcodes import ERRCODES, error_of
from domain.errors import CodeInvalid, CodeMissing, CodeUsed, Retry, Unavailable, WxLoginError
from entrypoints.cli.main import main
from entrypoints.cli.operate import explain
from entrypoints.http.login import MESSAGES
from entrypoints.problems import OUTCOMES, Exit, Problem
from entrypoints.settings import CONFIG_VARIABLE, SECRETS_VARIABLE, Settings, load_settings

ROOT = Path(__file__).parents[2]
SETTINGS = (ROOT / "docs/settings.md").read_text(encoding="utf-8")
ERRORS = (ROOT / "docs/errors.md").read_text(encoding="utf-8")


@pytest.fixture(autouse=True)
def no_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting of this machine's own."""
    for name in [name for name in os.environ if name.startswith("WXLOGIN_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv(SECRETS_VARIABLE, str(tmp_path))


def table(text: str, first_column: str) -> list[list[str]]:
    """The rows of the table whose head starts with this column, cells without their spaces."""
    lines = iter(text.splitlines())
    next(line for line in lines if line.startswith(f"| {first_column} |"))
    next(lines)
    rows = []
    for line in lines:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split(" | ")])
    return rows


def section(text: str, title: str) -> str:
    """What stands under a heading."""
    return text.split(f"\n## {title}\n")[1].split("\n## ")[0]


def blocks(text: str, language: str) -> list[str]:
    """The fenced blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def default_of(name: str) -> str:
    """A setting's default, as the documentation writes it."""
    default = Settings.model_fields[name].default
    value = default.get_secret_value() if isinstance(default, SecretStr) else default
    return "none" if value in (None, [], {}) else f"`{value}`"


def test_the_settings_page_names_every_setting_with_its_default() -> None:
    """All settings are there in the code's order, and no other."""
    documented = [(row[0], row[1]) for row in table(SETTINGS, "variable")]

    assert documented == [(f"`WXLOGIN_{name.upper()}`", default_of(name)) for name in Settings.model_fields]


def test_the_settings_page_has_the_examples_of_the_error_texts() -> None:
    """The example of a setting is the same wherever one sees it."""
    documented = {
        row[0].strip("`").removeprefix("WXLOGIN_").lower(): row[3].strip("`") for row in table(SETTINGS, "variable")
    }
    examples = {
        name: str((field.examples or [""])[0]).replace("`", "") for name, field in Settings.model_fields.items()
    }

    assert documented == examples


def test_the_settings_page_names_no_variable_that_is_not_there() -> None:
    """Every WXLOGIN_ name in the text is one that the service reads."""
    known = {f"WXLOGIN_{name.upper()}" for name in Settings.model_fields} | {CONFIG_VARIABLE, SECRETS_VARIABLE}

    assert set(re.findall(r"WXLOGIN_[A-Z_]+[A-Z]", SETTINGS)) == known


def test_the_toml_example_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever copies the example has a configuration that loads."""
    (example,) = blocks(SETTINGS, "toml")
    (tmp_path / ".wxlogin.toml").write_text(example, encoding="utf-8")
    monkeypatch.setenv(CONFIG_VARIABLE, str(tmp_path / ".wxlogin.toml"))
    loaded = load_settings().require_app()

    assert loaded.model_fields_set == set(tomllib.loads(example))
    assert len(loaded.credentials) == 2


def test_the_settings_pages_error_is_a_real_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message of the page is what the command prints."""
    monkeypatch.setenv("WXLOGIN_LOG_LEVEL", "loud")
    ran = CliRunner().invoke(main, ["migrate"])

    assert ran.exit_code == Exit.MISCONFIGURED
    assert ran.stderr in blocks(section(SETTINGS, "When a setting is wrong"), "")


def retry_of(kind: type[WxLoginError]) -> str:
    """What a client may do, as the documentation writes it: what is unavailable depends on whether a code was sent."""
    return f"`{Retry.NEW_CODE}` or `{Retry.LATER}`" if issubclass(kind, Unavailable) else f"`{kind.retry}`"


def test_the_errors_page_has_every_error() -> None:
    """Code, HTTP status, exit status and retry of every error are there, and of no other."""
    documented = [tuple(row[:4]) for row in table(ERRORS, "`code` | HTTP | exit status")]

    assert documented == [
        (f"`{kind.code}`", str(outcome.http), str(int(outcome.exit)), retry_of(kind))
        for kind, outcome in OUTCOMES.items()
    ]


def test_the_errors_page_has_every_errcode() -> None:
    """Each of WeChat's codes stands at the error that it means, and says so where any other code goes."""
    documented = {
        code: set(map(int, re.findall(r"-?\d+", errcodes)))
        for code, _, _, _, errcodes, _ in table(ERRORS, "`code` | HTTP | exit status")
    }
    unknown = error_of(99999, None).code

    assert documented == {
        f"`{kind.code}`": {row.number for row in ERRCODES.values() if row.error is kind} for kind in OUTCOMES
    }
    assert [row[0] for row in table(ERRORS, "`code` | HTTP | exit status") if "any" in row[4]] == [f"`{unknown}`"]


def test_the_errors_page_says_what_to_do_in_one_sentence() -> None:
    """Every error has its advice."""
    for *_, advice in table(ERRORS, "`code` | HTTP | exit status"):
        assert advice[0].isupper()
        assert advice.endswith(".")
        assert ". " not in advice


def test_the_example_problem_is_a_real_one() -> None:
    """The page's problem is what the service answers, member for member and in the same order."""
    (example,) = blocks(ERRORS, "http")
    body = json.loads(example.partition("\n\n")[2])
    problem = msgspec.to_builtins(Problem.of(error_of(40163, "6374a1b2-0c3d4e5f-12ab34cd")))

    assert list(body.items()) == list(problem.items())


def test_the_errors_page_has_the_articles_texts() -> None:
    """Every msg of status 3 is there with its HTTP status, beside the three everyday outcomes and a defect."""
    article = section(ERRORS, "The article's route")
    *documented, defect = table(article, "`code`")

    assert documented == [[f"`{kind.code}`", str(OUTCOMES[kind].http), text] for kind, text in MESSAGES.items()]
    assert defect[:2] == ["`internal_error`", "500"]
    assert defect[2] in _strings(ROOT / "src/entrypoints/http/login.py")
    assert not {CodeMissing, CodeInvalid, CodeUsed} & set(MESSAGES)
    for kind in (CodeMissing, CodeInvalid, CodeUsed):
        assert f"`{kind.code}`" in article


def _strings(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)}


def test_the_errors_page_explains_as_the_command_does() -> None:
    """Each errcode's block is a command and exactly what it prints, and no errcode is left out."""
    shown = []
    for block in blocks(section(ERRORS, "WeChat's error codes"), ""):
        command, _, output = block.partition("\n")
        arguments = shlex.split(command.removeprefix("$ wxlogin explain "))
        shown.append(int(arguments[-1]))
        assert CliRunner().invoke(explain, arguments).output == output

    assert shown == list(ERRCODES)


def test_the_error_tree_in_the_docstring_is_the_tree() -> None:
    """The drawing at the head of domain/errors.py has every class at its place."""
    import domain.errors

    drawn = re.findall(r"^    ([│ ]*)[├└]── (\w+)", domain.errors.__doc__ or "", re.MULTILINE)
    parents = ["WxLoginError"]
    pairs = []
    for indent, name in drawn:
        depth = len(indent) // 4 + 1
        parents = [*parents[:depth], name]
        pairs.append((name, parents[depth - 1]))

    assert dict(pairs) == {
        name: kind.__base__.__name__
        for name, kind in vars(domain.errors).items()
        if isinstance(kind, type) and issubclass(kind, WxLoginError) and kind is not WxLoginError and kind.__base__
    }


PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]


@pytest.mark.parametrize("page", [path.relative_to(ROOT).as_posix() for path in PAGES])
def test_the_links_of_a_page_lead_somewhere(page: str) -> None:
    """A link to another page of the project is to one that is there."""
    path = ROOT / page
    text = re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    links = [link.partition("#")[0] for link in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in link]

    assert [link for link in links if link and not (path.parent / link).exists()] == []
