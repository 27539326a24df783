"""The documentation agrees with the code."""

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
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from pydantic import SecretStr

from adapters.wechat.errcodes import ERRCODES
from adapters.wechat.errors import error_of
from domain.errors import CodeInvalid, CodeMissing, CodeUsed, Retry, Unavailable, WxLoginError
from domain.identity import AppId
from entrypoints.cli.main import main
from entrypoints.cli.operate import explain
from entrypoints.container import open_signers, utc_now
from entrypoints.http.login import ANY_PROVIDER, CHINESE_NAMES, MESSAGES
from entrypoints.problems import OUTCOMES, Exit, Problem
from entrypoints.setting_models import Signing
from entrypoints.setting_sources import CONFIG_VARIABLE, SECRETS_VARIABLE
from entrypoints.settings import Settings, load_settings
from support.pages import ROOT, blocks, section, table

SETTINGS = (ROOT / "docs/settings.md").read_text(encoding="utf-8")
ERRORS = (ROOT / "docs/errors.md").read_text(encoding="utf-8")
ERRCODE_PAGE = (ROOT / "docs/wechat-errors.md").read_text(encoding="utf-8")


@pytest.fixture(autouse=True)
def no_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment without settings of this machine."""
    for name in [name for name in os.environ if name.startswith("WXLOGIN_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv(SECRETS_VARIABLE, str(tmp_path))


def default_of(name: str) -> str:
    """Return the default of a setting, in the format of the documentation."""
    default = Settings.model_fields[name].default
    value = default.get_secret_value() if isinstance(default, SecretStr) else default
    value = str(value).lower() if isinstance(value, bool) else value
    return "none" if value in (None, [], {}) else f"`{value}`"


def test_the_settings_page_names_every_setting_with_its_default() -> None:
    """The page has all settings with their defaults, in the order of the code, and no others."""
    documented = [(row[0], row[1]) for row in table(SETTINGS, "variable")]

    assert documented == [(f"`WXLOGIN_{name.upper()}`", default_of(name)) for name in Settings.model_fields]


def test_the_settings_page_has_the_examples_of_the_error_texts() -> None:
    """The examples of the settings page are those of the error messages."""
    documented = {
        row[0].strip("`").removeprefix("WXLOGIN_").lower(): row[3].strip("`") for row in table(SETTINGS, "variable")
    }
    examples = {
        name: str((field.examples or [""])[0]).replace("`", "") for name, field in Settings.model_fields.items()
    }

    assert documented == examples


def test_the_settings_page_names_only_existing_variables() -> None:
    """Every WXLOGIN_ name on the page is a variable that the service reads."""
    known = {f"WXLOGIN_{name.upper()}" for name in Settings.model_fields} | {CONFIG_VARIABLE, SECRETS_VARIABLE}

    assert set(re.findall(r"WXLOGIN_[A-Z_]+[A-Z]", SETTINGS)) == known


def test_the_toml_example_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The TOML example of the page loads as a configuration."""
    (example,) = blocks(section(SETTINGS, "Where settings come from"), "toml")
    (tmp_path / ".wxlogin.toml").write_text(example, encoding="utf-8")
    monkeypatch.setenv(CONFIG_VARIABLE, str(tmp_path / ".wxlogin.toml"))
    loaded = load_settings().require_app()

    assert loaded.model_fields_set == set(tomllib.loads(example))
    assert len(loaded.secrets_of("wechat")) == 2


def test_the_signing_example_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With PEMs in place of the dots, the example is an app with signing keys."""
    (example,) = blocks(section(SETTINGS, "API security"), "toml")
    private_key = rsa.generate_private_key(65537, 2048)
    pems = [
        private_key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
        ),
        private_key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        ),
    ]
    filled = re.sub(r"-----BEGIN.*?END.*?-----\n", lambda _: pems.pop(0).decode(), example, flags=re.DOTALL)
    (tmp_path / ".wxlogin.toml").write_text(filled, encoding="utf-8")
    monkeypatch.setenv(CONFIG_VARIABLE, str(tmp_path / ".wxlogin.toml"))

    assert set(open_signers(load_settings(), utc_now)) == {AppId(tomllib.loads(example)["apps"][0]["appid"])}
    assert pems == []


def test_the_settings_page_names_every_key_of_signing() -> None:
    """The page has every key of `signing`."""
    documented = [row[0] for row in table(section(SETTINGS, "API security"), "key of `signing`")]

    assert documented == [f"`{name}`" for name in Signing.model_fields]


def test_the_settings_pages_error_is_a_real_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error message on the page is the output of the command."""
    monkeypatch.setenv("WXLOGIN_LOG_LEVEL", "loud")
    ran = CliRunner().invoke(main, ["migrate"])

    assert ran.exit_code == Exit.MISCONFIGURED
    assert ran.stderr in blocks(section(SETTINGS, "When a setting is wrong"), "")


def retry_of(kind: type[WxLoginError]) -> str:
    """Return the retry advice in the format of the documentation. An unavailable error has both kinds."""
    return f"`{Retry.NEW_CODE}` or `{Retry.LATER}`" if issubclass(kind, Unavailable) else f"`{kind.retry}`"


def test_the_errors_page_has_every_error() -> None:
    """The page has the code, HTTP status, exit status and retry advice of every error, and of no others."""
    documented = [tuple(row[:4]) for row in table(ERRORS, "`code` | HTTP | exit status")]

    assert documented == [
        (f"`{kind.code}`", str(outcome.http), str(int(outcome.exit)), retry_of(kind))
        for kind, outcome in OUTCOMES.items()
    ]


def test_the_errors_page_has_every_errcode() -> None:
    """Each errcode of WeChat is in the row of its error, or the row links to the page with all errcodes."""
    unknown = error_of(99999).code
    for code, _, _, _, errcodes, _ in table(ERRORS, "`code` | HTTP | exit status"):
        documented = set(map(int, re.findall(r"-?\d+", errcodes)))
        meant = {row.number for row in ERRCODES.values() if f"`{row.error.code}`" == code}

        assert documented <= meant
        assert documented == meant or "[and more](wechat-errors.md)" in errcodes
        assert ("any that" in errcodes) == (code == f"`{unknown}`")


def explained(number: int) -> dict[str, str]:
    """Return the output of `wxlogin explain`, by its first column."""
    printed = CliRunner().invoke(explain, [str(number)]).output
    return dict(re.findall(r"^(\w+) +(.*)$", printed, re.MULTILINE))


def test_the_errcode_page_has_every_errcode_as_the_command_explains_it() -> None:
    """The table has the output of `wxlogin explain` for each errcode, in ascending order."""
    told = [explained(number) for number in ERRCODES]

    assert table(ERRCODE_PAGE, "errcode") == [
        [row["errcode"], f"`{row['code']}`", row["meaning"], row["cause"], row["mend"], row["retry"]] for row in told
    ]
    assert list(ERRCODES) == sorted(ERRCODES)


def test_the_errcode_page_names_only_existing_codes() -> None:
    """Every errcode in the text of the page is in the table."""
    prose = section(ERRCODE_PAGE, "Recognising them")

    assert set(map(int, re.findall(r"\b[1-9]\d{4}\b", prose))) <= set(ERRCODES)


def test_the_advice_on_the_errors_page_is_one_sentence() -> None:
    """The advice for every error is one sentence."""
    for *_, advice in table(ERRORS, "`code` | HTTP | exit status"):
        assert advice[0].isupper()
        assert advice.endswith(".")
        assert ". " not in advice


def test_the_example_problem_is_a_real_one() -> None:
    """The example problem has the members of a real one, in the same order."""
    (example,) = blocks(ERRORS, "http")
    body = json.loads(example.partition("\n\n")[2])
    problem = msgspec.to_builtins(Problem.of(error_of(40163, "code been used, rid: 6374a1b2-0c3d4e5f-12ab34cd")))

    assert list(body.items()) == list(problem.items())


def test_the_errors_page_has_the_articles_texts() -> None:
    """The page has the Chinese text and the HTTP status of every error of the article's route."""
    article = section(ERRORS, "The article's route")
    *documented, defect = table(article, "`code`")

    assert documented == [
        [f"`{kind.code}`", str(OUTCOMES[kind].http), text.format(provider=CHINESE_NAMES["WeChat"])]
        for kind, text in MESSAGES.items()
    ]
    assert ANY_PROVIDER in article
    assert defect[:2] == ["`internal_error`", "500"]
    assert defect[2] in _strings(ROOT / "src/entrypoints/http/login.py")
    assert not {CodeMissing, CodeInvalid, CodeUsed} & set(MESSAGES)
    for kind in (CodeMissing, CodeInvalid, CodeUsed):
        assert f"`{kind.code}`" in article


def _strings(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)}


@pytest.mark.parametrize("page", [ERRORS, ERRCODE_PAGE], ids=["errors", "wechat-errors"])
def test_a_page_has_the_output_of_the_explain_command(page: str) -> None:
    """A block with `wxlogin explain` has the exact output of the command."""
    shown = [block for block in blocks(page, "") if block.startswith("$ wxlogin explain ")]
    for block in shown:
        command, _, output = block.partition("\n")
        arguments = shlex.split(command.removeprefix("$ wxlogin explain "))
        assert CliRunner().invoke(explain, arguments).output == output

    assert shown


def test_the_docstring_of_errors_has_the_class_tree() -> None:
    """The tree in the docstring of domain/errors.py has every class in its place."""
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


FOLDERS = ("*", ".github/*", "clients/**/*", "docs/**/*", "examples/**/*", "sandbox/*")
PAGES = sorted(
    path
    for folder in FOLDERS
    for path in ROOT.glob(f"{folder}.md")
    if "node_modules" not in path.relative_to(ROOT).parts
)


def anchors(path: Path) -> set[str]:
    """Return the anchors that GitHub creates for the headings of a page."""
    text = re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", [path.relative_to(ROOT).as_posix() for path in PAGES])
def test_the_links_of_a_page_have_targets(page: str) -> None:
    """Every link to another page of the project or to a heading has an existing target."""
    path = ROOT / page
    text = re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    links = [link.partition("#") for link in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in link]
    targets = [(path.parent / file if file else path, anchor) for file, _, anchor in links]

    assert [file for file, _ in targets if not file.exists()] == []
    assert [anchor for file, anchor in targets if anchor and anchor not in anchors(file)] == []
