"""The page on the calls of a mini-program agrees with the code."""

import json
import re
from typing import Any, NamedTuple

import msgspec
import pytest
from litestar import Litestar, Response
from litestar.routes import HTTPRoute

from domain.errors import Retry, Unavailable, error_named
from domain.user import PROFILE_LIMITS
from entrypoints.container import open_container
from entrypoints.http.app import create_app
from entrypoints.http.contract import PLATFORM_ERRORS, SESSION_ERRORS
from entrypoints.problems import OUTCOMES, Problem
from entrypoints.settings import load_settings
from support.pages import ROOT, Operation, blocks, table

GUIDES = {
    name: (ROOT / "docs" / name).read_text(encoding="utf-8") for name in ("mini-program.md", "mini-program.zh-CN.md")
}
"""The page on the calls of a mini-program, in both languages."""

each_guide = pytest.mark.parametrize("guide", GUIDES.values(), ids=GUIDES)


@pytest.fixture(scope="module")
def app() -> Litestar:
    """The application, not started."""
    return create_app(lambda: open_container(load_settings()))


@pytest.fixture(scope="module")
def operations(app: Litestar) -> dict[Operation, dict[str, Any]]:
    """The operations for clients and gateways, as the schema describes them."""
    described = {
        (method.upper(), anonymous(path)): operation
        for path, item in app.openapi_schema.to_schema()["paths"].items()
        for method, operation in item.items()
    }
    return {key: each for key, each in described.items() if key[1].startswith(("/v1/", "/login", "/auth"))}


def anonymous(path: str) -> str:
    """Return the path without a trailing slash and without the names of its parameters."""
    return re.sub(r"\$?\{[\w.]+\}", "{}", path.rstrip("/"))


def operations_in(text: str) -> set[Operation]:
    """Return every call in the examples and sentences of the text."""
    found = re.findall(r"\b(GET|POST|PUT|PATCH|DELETE) (/(?:v1|login|auth)[\w/{}-]*)", text)
    return {(method, anonymous(path)) for method, path in found}


def codes_in(text: str) -> list[tuple[str, str, str]]:
    """Return the rows of the error tables in the text: code, HTTP status, retry."""
    return re.findall(r"^\| `(\w+)` \| (\d{3}) \| `(\w+)` \|", text, re.MULTILINE)


def refusals_of(operation: dict[str, Any]) -> set[str]:
    """Return the error codes that the schema declares for the operation."""
    texts = [response["description"] for status, response in operation["responses"].items() if status >= "400"]
    return {code for text in texts for code in text.removeprefix("status 3: ").split(", ")}


class Message(NamedTuple):
    """A block of HTTP: its first line, its headers and its JSON."""

    start: list[str]
    headers: dict[str, str]
    body: Any


def messages(text: str) -> list[Message]:
    """Return the blocks of HTTP, with their JSON parsed."""
    found = []
    for block in blocks(text, "http"):
        head, _, body = block.partition("\n\n")
        start, *headers = head.splitlines()
        found.append(Message(start.split(" "), dict(line.split(": ") for line in headers), body and json.loads(body)))
    return found


def types_of(app: Litestar, operation: Operation) -> tuple[Any, Any]:
    """Return the types of the operation's request and answer."""
    (handler,) = [
        route.route_handler_map[operation[0]][0]  # type: ignore[index]
        for route in app.routes
        if isinstance(route, HTTPRoute) and anonymous(re.sub(r":\w+", "", route.path)) == operation[1]
    ]
    data, answer = handler.parsed_data_field, handler.parsed_return_field
    body = answer.inner_types[0] if answer.is_subclass_of(Response) else answer
    return data and data.annotation, body.annotation


def read_as(kind: Any, body: Any) -> Any:
    """Return the body, decoded and encoded as the code does. Fields that it omits may be null."""
    written = msgspec.to_builtins(msgspec.convert(body, kind))
    return {name: value for name, value in written.items() if name in body or value is not None}


@each_guide
def test_the_guide_has_every_call(guide: str, operations: dict[Operation, Any]) -> None:
    """The guide has every call for clients, and no others."""
    assert operations_in(guide) == set(operations)


@each_guide
def test_the_guides_examples_have_the_fields_of_the_code(guide: str, app: Litestar) -> None:
    """The example requests have only known fields. The example answers have the fields of the code in their order."""
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
def test_the_guides_gateway_gets_the_headers_of_the_schema(guide: str, operations: dict[Operation, Any]) -> None:
    """The example answer of /auth has the headers of the schema."""
    (answer,) = [headers for start, headers, _ in messages(guide) if "X-User-Id" in headers]

    assert list(answer) == list(operations["GET", "/auth"]["responses"]["204"]["headers"])


@each_guide
def test_the_guides_examples_have_a_token_where_it_is_required(guide: str, operations: dict[Operation, Any]) -> None:
    """An example request has the Authorization header exactly when the schema requires it."""
    for start, headers, _ in messages(guide):
        if start[-1] == "HTTP/1.1":
            needed = bool(operations[start[0], anonymous(start[1])].get("security"))
            assert ("Authorization" in headers) == needed


@each_guide
def test_the_guides_javascript_calls_existing_operations(guide: str, operations: dict[Operation, Any]) -> None:
    """Every address in the JavaScript exists, with a method that wx.request supports."""
    code = "".join(blocks(guide, "js"))
    calls = re.findall(r"url: ['`](?:https://[^/]+)?(/[^'`]+)['`](?:,\s*method: '(\w+)')?", code)
    ours = {(method or "GET", anonymous(path)) for path, method in calls if path.startswith(("/v1", "/login"))}

    assert code.count("url:") == len(calls)
    assert ours <= set(operations)
    assert "PATCH" not in {method for _, method in calls}


@each_guide
def test_the_guides_errors_are_those_of_the_calls(guide: str, operations: dict[Operation, Any]) -> None:
    """The section of a call has the errors of this call only, and the last table has those of all calls.

    None is missing.
    """
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


@pytest.mark.parametrize(("name", "first_column"), [("mini-program.md", "field"), ("mini-program.zh-CN.md", "字段")])
def test_the_guides_limits_are_those_of_the_code(name: str, first_column: str) -> None:
    """The table of the profile has every field, with the maximum length that the code checks."""
    rows = table(GUIDES[name], first_column)

    assert {field: int(row[1]) for row in rows for field in re.findall(r"\w+", row[0])} == PROFILE_LIMITS


@each_guide
def test_the_guides_errors_have_the_status_of_the_code(guide: str) -> None:
    """The HTTP status and the retry advice in the tables are those of the code."""
    for code, status, retry in codes_in(guide):
        kind = error_named(code)
        assert int(status) == OUTCOMES[kind].http
        assert retry in ({Retry.NEW_CODE, Retry.LATER} if issubclass(kind, Unavailable) else {kind.retry})
