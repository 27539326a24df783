"""The documentation is what the code is."""

import ast
import json
import os
import re
import shlex
import sys
import tomllib
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import anyio
import httpx
import msgspec
import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from litestar import Litestar
from litestar.routes import HTTPRoute
from pydantic import SecretStr

from adapters.wechat.errcodes import ERRCODES, error_of
from domain.errors import CodeInvalid, CodeMissing, CodeUsed, Retry, Unavailable, WxLoginError, error_named
from domain.identity import AppId
from entrypoints.cli.main import main
from entrypoints.cli.operate import explain
from entrypoints.container import open_container, open_signers, utc_now
from entrypoints.http.app import create_app
from entrypoints.http.contract import PLATFORM_ERRORS, SESSION_ERRORS
from entrypoints.http.login import MESSAGES
from entrypoints.problems import OUTCOMES, Exit, Problem
from entrypoints.sandbox.api import ENDPOINTS
from entrypoints.sandbox.app import create_sandbox
from entrypoints.sandbox.faults import Fault
from entrypoints.setting_sources import CONFIG_VARIABLE, SECRETS_VARIABLE
from entrypoints.settings import Settings, Signing, load_settings

ROOT = Path(__file__).parents[2]
SETTINGS = (ROOT / "docs/settings.md").read_text(encoding="utf-8")
ERRORS = (ROOT / "docs/errors.md").read_text(encoding="utf-8")
ERRCODE_PAGE = (ROOT / "docs/wechat-errors.md").read_text(encoding="utf-8")


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
    fenced = re.findall(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [block for named, block in fenced if named == language]


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
    (example,) = blocks(section(SETTINGS, "Where settings come from"), "toml")
    (tmp_path / ".wxlogin.toml").write_text(example, encoding="utf-8")
    monkeypatch.setenv(CONFIG_VARIABLE, str(tmp_path / ".wxlogin.toml"))
    loaded = load_settings().require_app()

    assert loaded.model_fields_set == set(tomllib.loads(example))
    assert len(loaded.credentials) == 2


def test_the_signing_example_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With PEMs in the place of the dots, the example is an app that signs."""
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
    """Whoever sets up API security finds what goes where."""
    documented = [row[0] for row in table(section(SETTINGS, "API security"), "key of `signing`")]

    assert documented == [f"`{name}`" for name in Signing.model_fields]


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
    """Each of WeChat's codes stands at the error that it means, or a link to the page that has the rest."""
    unknown = error_of(99999, None).code
    for code, _, _, _, errcodes, _ in table(ERRORS, "`code` | HTTP | exit status"):
        documented = set(map(int, re.findall(r"-?\d+", errcodes)))
        meant = {row.number for row in ERRCODES.values() if f"`{row.error.code}`" == code}

        assert documented <= meant
        assert documented == meant or "[and more](wechat-errors.md)" in errcodes
        assert ("any that" in errcodes) == (code == f"`{unknown}`")


def explained(number: int) -> dict[str, str]:
    """What `wxlogin explain` prints, by its first column."""
    printed = CliRunner().invoke(explain, [str(number)]).output
    return dict(re.findall(r"^(\w+) +(.*)$", printed, re.MULTILINE))


def test_the_errcode_page_has_every_errcode_as_the_command_explains_it() -> None:
    """The table is what `wxlogin explain` says of each code, in the order of the numbers."""
    told = [explained(number) for number in ERRCODES]

    assert table(ERRCODE_PAGE, "errcode") == [
        [row["errcode"], f"`{row['code']}`", row["meaning"], row["cause"], row["mend"], row["retry"]] for row in told
    ]
    assert list(ERRCODES) == sorted(ERRCODES)


def test_the_errcode_page_names_no_code_that_is_not_there() -> None:
    """Every number in the text is one of WeChat's codes that the table has."""
    prose = section(ERRCODE_PAGE, "Recognising them")

    assert set(map(int, re.findall(r"\b[1-9]\d{4}\b", prose))) <= set(ERRCODES)


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


@pytest.mark.parametrize("page", [ERRORS, ERRCODE_PAGE], ids=["errors", "wechat-errors"])
def test_a_page_explains_as_the_command_does(page: str) -> None:
    """A block that shows `wxlogin explain` is the command and exactly what it prints."""
    shown = [block for block in blocks(page, "") if block.startswith("$ wxlogin explain ")]
    for block in shown:
        command, _, output = block.partition("\n")
        arguments = shlex.split(command.removeprefix("$ wxlogin explain "))
        assert CliRunner().invoke(explain, arguments).output == output

    assert shown


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


GUIDES = {
    name: (ROOT / "docs" / name).read_text(encoding="utf-8") for name in ("mini-program.md", "mini-program.zh-CN.md")
}
"""The page on a mini-program's calls, in both languages."""

each_guide = pytest.mark.parametrize("guide", GUIDES.values(), ids=GUIDES)

Operation = tuple[str, str]


@pytest.fixture(scope="module")
def app() -> Litestar:
    """The application, which nobody starts."""
    return create_app(lambda: open_container(load_settings()))


@pytest.fixture(scope="module")
def operations(app: Litestar) -> dict[Operation, dict[str, Any]]:
    """What a client or its gateway calls, as the schema describes it."""
    described = {
        (method.upper(), anonymous(path)): operation
        for path, item in app.openapi_schema.to_schema()["paths"].items()
        for method, operation in item.items()
    }
    return {key: each for key, each in described.items() if key[1].startswith(("/v1/", "/login", "/auth"))}


def anonymous(path: str) -> str:
    """The path without a slash at its end and without the names of its parameters."""
    return re.sub(r"\$?\{[\w.]+\}", "{}", path.rstrip("/"))


def operations_in(text: str) -> set[Operation]:
    """Every call that the text names, in an example or in a sentence."""
    found = re.findall(r"\b(GET|POST|PUT|PATCH|DELETE) (/(?:v1|login|auth)[\w/{}-]*)", text)
    return {(method, anonymous(path)) for method, path in found}


def codes_in(text: str) -> list[tuple[str, str, str]]:
    """The rows of the text's tables of errors: code, HTTP status, retry."""
    return re.findall(r"^\| `(\w+)` \| (\d{3}) \| `(\w+)` \|", text, re.MULTILINE)


def refusals_of(operation: dict[str, Any]) -> set[str]:
    """The codes that the schema declares."""
    texts = [response["description"] for status, response in operation["responses"].items() if status >= "400"]
    return {code for text in texts for code in text.removeprefix("status 3: ").split(", ")}


class Message(NamedTuple):
    """A block of HTTP: its first line, its headers and its JSON."""

    start: list[str]
    headers: dict[str, str]
    body: Any


def messages(text: str) -> list[Message]:
    """The blocks of HTTP, whose JSON is JSON."""
    found = []
    for block in blocks(text, "http"):
        head, _, body = block.partition("\n\n")
        start, *headers = head.splitlines()
        found.append(Message(start.split(" "), dict(line.split(": ") for line in headers), body and json.loads(body)))
    return found


def types_of(app: Litestar, operation: Operation) -> tuple[Any, Any]:
    """What the operation is sent and what it answers."""
    (handler,) = [
        route.route_handler_map[operation[0]][0]  # type: ignore[index]
        for route in app.routes
        if isinstance(route, HTTPRoute) and anonymous(re.sub(r":\w+", "", route.path)) == operation[1]
    ]
    data = handler.parsed_data_field
    return data and data.annotation, handler.parsed_return_field.annotation


def read_as(kind: Any, body: Any) -> Any:
    """The body, read and written again as the code does; what is left out of it may be null."""
    written = msgspec.to_builtins(msgspec.convert(body, kind))
    return {name: value for name, value in written.items() if name in body or value is not None}


@each_guide
def test_the_guide_has_every_call(guide: str, operations: dict[Operation, Any]) -> None:
    """Every call that a client makes is there, and no other."""
    assert operations_in(guide) == set(operations)


@each_guide
def test_the_guides_examples_are_what_the_code_reads_and_writes(guide: str, app: Litestar) -> None:
    """A request has no field that the code does not know; an answer has the fields of the code's, in their order."""
    operation = ("", "")
    for start, headers, body in messages(guide):
        if start[-1] == "HTTP/1.1":
            operation = (start[0], anonymous(start[1]))
            if body:
                assert headers["Content-Type"] == "application/json"
                assert read_as(types_of(app, operation)[0], body) == body
        elif start[1] >= "400":
            assert list(read_as(Problem, body).items()) == list(body.items())
            assert body["title"] == error_named(body["code"]).title
            assert body["status"] == int(start[1])
        elif body:
            kind = types_of(app, operation)[1]
            assert json.dumps(read_as(kind, body)) == json.dumps(body)


@each_guide
def test_the_guides_gateway_gets_the_headers_that_there_are(guide: str, operations: dict[Operation, Any]) -> None:
    """The answer of /auth has the headers of the schema."""
    (answer,) = [headers for start, headers, _ in messages(guide) if "X-User-Id" in headers]

    assert list(answer) == list(operations["GET", "/auth"]["responses"]["204"]["headers"])


@each_guide
def test_the_guides_examples_bring_a_token_where_one_is_needed(guide: str, operations: dict[Operation, Any]) -> None:
    """A request has the Authorization header exactly where the schema asks for it."""
    for start, headers, _ in messages(guide):
        if start[-1] == "HTTP/1.1":
            needed = bool(operations[start[0], anonymous(start[1])].get("security"))
            assert ("Authorization" in headers) == needed


@each_guide
def test_the_guides_javascript_calls_what_there_is(guide: str, operations: dict[Operation, Any]) -> None:
    """Every address in the code is one of the service's or of the reader's own, with a method that wx.request has."""
    code = "".join(blocks(guide, "js"))
    calls = re.findall(r"url: ['`](?:https://[^/]+)?(/[^'`]+)['`](?:,\s*method: '(\w+)')?", code)
    ours = {(method or "GET", anonymous(path)) for path, method in calls if path.startswith(("/v1", "/login"))}

    assert code.count("url:") == len(calls)
    assert ours <= set(operations)
    assert "PATCH" not in {method for _, method in calls}


@each_guide
def test_the_guides_errors_are_those_of_the_calls(guide: str, operations: dict[Operation, Any]) -> None:
    """A call's section names what only this call can answer, the last table what all can; nothing is left out."""
    of_all = {kind.code for kind in OUTCOMES if kind in (*SESSION_ERRORS, *PLATFORM_ERRORS)}
    for text in guide.split("\n## "):
        named = {code for code, _, _ in codes_in(text)}
        asked = [operations[each] for each in operations_in(text)]
        if blocks(text, "http") and messages(text)[0].start[-1] == "HTTP/1.1":
            declared = set().union(*map(refusals_of, asked))
            common = of_all if any(each.get("security") for each in asked) else set()
            assert declared - common <= named <= declared, text.splitlines()[0]
        elif named:
            assert named == of_all


@each_guide
def test_the_guides_errors_are_as_the_code_has_them(guide: str) -> None:
    """HTTP status and retry are those of the code."""
    for code, status, retry in codes_in(guide):
        kind = error_named(code)
        assert int(status) == OUTCOMES[kind].http
        assert retry in ({Retry.NEW_CODE, Retry.LATER} if issubclass(kind, Unavailable) else {kind.retry})


def test_the_guide_is_the_same_in_both_languages() -> None:
    """Examples, code but for its comments, and errors are one and the same."""

    def essence(guide: str) -> list[Any]:
        code = [re.sub(r" // .*", "", block) for block in blocks(guide, "js")]
        return [blocks(guide, "http"), code, blocks(guide, "html"), blocks(guide, "sh"), codes_in(guide)]

    english, chinese = map(essence, GUIDES.values())

    assert english == chinese


SANDBOX_PAGES = {
    name: (ROOT / "docs" / name).read_text(encoding="utf-8") for name in ("sandbox.md", "sandbox.zh-CN.md")
}
"""The page on the sandbox, in both languages."""

each_sandbox_page = pytest.mark.parametrize("page", SANDBOX_PAGES.values(), ids=SANDBOX_PAGES)

FIRST_COLUMNS = {
    "controls": ("control", "接口"),
    "faults": ("field", "字段"),
    "calls": ("path", "路径"),
    "signing": ("key of `signing`", "`signing` 的字段"),
}
"""What the tables of the two pages start with."""


@cache
def key_pair() -> tuple[str, str]:
    """A private key and its public half, both PEM."""
    key = rsa.generate_private_key(65537, 2048)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return private.decode(), public.decode()


def in_process() -> httpx.AsyncClient:
    """A client of a sandbox of its own, without a network."""
    transport = httpx.ASGITransport(create_sandbox())  # type: ignore[arg-type]  # the same protocol, typed twice
    return httpx.AsyncClient(transport=transport, base_url="http://sandbox")


def sandbox_table(page: str, name: str) -> list[list[str]]:
    """The rows of a table of the page, in whichever language."""
    (column,) = [column for column in FIRST_COLUMNS[name] if f"\n| {column} |" in page]
    return table(page, column)


def fields_in(cell: str) -> list[str]:
    """The fields of `{"a", "b"?}`, with the question mark of those that may be left out."""
    return [name + optional for name, optional in re.findall(r'"(\w+)"(\??)', cell)]


def fields_of(kind: type[msgspec.Struct]) -> list[str]:
    """The same of what the code reads."""
    return [field.encode_name + "?" * (not field.required) for field in msgspec.structs.fields(kind)]


def curls_in(page: str) -> dict[Operation, str | None]:
    """What is sent by the block that has every control, with a key in the place of the shell's work."""
    (block,) = [block for block in blocks(page, "sh") if "/sandbox/clock" in block]
    sent: dict[Operation, str | None] = {}
    for line in block.splitlines():
        program, url, *rest = shlex.split(re.sub(r"\$\(.*\)", "KEY", line))
        if program == "curl":
            body = rest[1].replace("KEY", key_pair()[1].replace("\n", "\\n")) if rest else None
            sent["POST" if rest else "GET", url.removeprefix("http://127.0.0.1:8000")] = body
            assert rest[:1] in ([], ["-d"])
    return sent


@each_sandbox_page
def test_the_sandbox_page_has_every_control(page: str) -> None:
    """All controls are there and no other, each with the fields that it takes and the status that it answers."""
    routes = [route for route in create_sandbox().routes if isinstance(route, HTTPRoute)]
    handlers = {
        (method, route.path): route.route_handler_map[method][0]
        for route in routes
        for method in route.methods - {"OPTIONS", "HEAD"}
    }
    documented = {tuple(row[0].strip("`").split(" ")): row[1:] for row in sandbox_table(page, "controls")}

    assert set(documented) == set(handlers)
    for name, (body, answer, *_) in documented.items():
        data = handlers[name].parsed_data_field
        assert fields_in(body) == (fields_of(data.annotation) if data else [])
        assert int(answer[:3]) == handlers[name].status_code


@pytest.mark.anyio
@each_sandbox_page
async def test_the_sandbox_pages_commands_work(page: str) -> None:
    """There is one for each control, which answers the fields that the table has."""
    sent = curls_in(page)
    async with in_process() as client:
        for name, _, told, *_ in sandbox_table(page, "controls"):
            method, path = name.strip("`").split(" ")
            answer = await client.request(method, path, content=sent.pop((method, path)))

            assert answer.status_code == int(told[:3]), answer.text
            if fields_in(told):
                assert list(answer.json()) == fields_in(told)
    assert sent == {}


@each_sandbox_page
def test_the_sandbox_page_has_the_fields_of_a_fault(page: str) -> None:
    """All of them, in the code's order."""
    documented = [row[0].strip("`") for row in sandbox_table(page, "faults")]

    assert documented == [field.name for field in msgspec.structs.fields(Fault)]


@each_sandbox_page
def test_the_sandbox_page_has_wechats_calls(page: str) -> None:
    """Path, methods and whether a call may be signed are those of the code."""
    documented = [
        (path.strip("`"), tuple(re.findall("[A-Z]+", methods)), signable in ("yes", "是"))
        for path, methods, signable in sandbox_table(page, "calls")
    ]

    assert documented == [(path, each.methods, each.signable) for path, each in ENDPOINTS.items()]


@pytest.mark.anyio
@each_sandbox_page
async def test_the_sandbox_pages_signing_script_makes_an_app_that_signs(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sandbox's answer goes through the script into settings that load, as the table has it."""
    (script,) = re.findall(r"^python3 - > wxlogin.toml <<'END'\n(.*?)^END$", page, re.MULTILINE | re.DOTALL)
    files = tmp_path / "files"
    files.mkdir()
    (files / "key.pem").write_text(key_pair()[0], encoding="utf-8")
    async with in_process() as client:
        told = await client.post("/sandbox/signing", content=curls_in(page)["POST", "/sandbox/signing"])
    (files / "signing.json").write_bytes(told.content)
    ran = await anyio.run_process([sys.executable, "-c", script], cwd=files)
    (files / "wxlogin.toml").write_bytes(ran.stdout)
    monkeypatch.setenv(CONFIG_VARIABLE, str(files / "wxlogin.toml"))
    fields = told.json() | {"key.pem": key_pair()[0]}
    signing = {key.strip("`"): field.split("`")[1] for key, field in sandbox_table(page, "signing")}

    assert len(open_signers(load_settings(), utc_now)) == 1
    assert list(signing) == list(Signing.model_fields)
    assert tomllib.loads(ran.stdout.decode())["apps"][0]["signing"] == {
        key: fields[field] for key, field in signing.items()
    }


def test_the_sandbox_page_is_the_same_in_both_languages() -> None:
    """Commands but for their comments, controls and faults are one and the same."""

    def essence(page: str) -> list[Any]:
        controls = [[row[0], fields_in(row[1]), fields_in(row[2])] for row in sandbox_table(page, "controls")]
        return [re.sub(r" +# .*", "", "".join(blocks(page, "sh"))), controls, set(re.findall(r"\b\d{5}\b", page))]

    english, chinese = map(essence, SANDBOX_PAGES.values())

    assert english == chinese


PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]


def anchors(path: Path) -> set[str]:
    """The names that GitHub gives to the headings of a page."""
    text = re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", [path.relative_to(ROOT).as_posix() for path in PAGES])
def test_the_links_of_a_page_lead_somewhere(page: str) -> None:
    """A link to another page of the project, or to a heading, is to one that is there."""
    path = ROOT / page
    text = re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    links = [link.partition("#") for link in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in link]
    targets = [(path.parent / file if file else path, anchor) for file, _, anchor in links]

    assert [file for file, _ in targets if not file.exists()] == []
    assert [anchor for file, anchor in targets if anchor and anchor not in anchors(file)] == []
