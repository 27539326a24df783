"""The published schema at /docs/openapi.json describes the service correctly."""

from collections.abc import Callable, Iterator
from http import HTTPStatus
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from jsonschema_rs import validator_for
from schemathesis.checks import not_a_server_error
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from support.processes import Sandbox, Service

LOGINS = [("POST", "/login"), ("POST", "/v1/sessions")]
PROFILE_CHANGES = [("PATCH", "/v1/me"), ("PUT", "/v1/me")]
PHONE_AND_UNIONID = [("PUT", "/v1/me/phone"), ("PUT", "/v1/me/unionid")]
OWN_DATA = [("GET", "/v1/me/export"), ("DELETE", "/v1/me")]
CLIENT_DATA = [("POST", "/v1/wechat/decrypt"), ("POST", "/v1/wechat/verify")]
ASKED = {"429", "500", "502", "503"}
"""The statuses of a failed call to WeChat."""

SESSION_KEYS = [
    ("POST", "/v1/wechat/check"),
    ("GET", "/v1/wechat/session-key"),
    ("POST", "/v1/wechat/session-key/reset"),
    ("GET", "/v1/wechat/encrypt-keys"),
]
SCANS = [("GET", "/v1/scans/{scene}"), ("POST", "/v1/scans/{scene}")]
PROTECTED = [
    ("GET", "/v1/sessions"),
    ("DELETE", "/v1/sessions"),
    ("GET", "/v1/sessions/current"),
    ("DELETE", "/v1/sessions/current"),
    ("DELETE", "/v1/sessions/{session_id}"),
    ("GET", "/v1/me"),
    *OWN_DATA,
    *PROFILE_CHANGES,
    *PHONE_AND_UNIONID,
    *CLIENT_DATA,
    *SESSION_KEYS,
    *SCANS,
    ("GET", "/auth"),
]
HEALTH, READINESS, METRICS = ("GET", "/healthz"), ("GET", "/readyz"), ("GET", "/metrics")
OAUTH = [
    ("POST", "/oauth2/introspect"),
    ("POST", "/oauth2/revoke"),
    ("POST", "/oauth2/device_authorization"),
]
TOKEN = ("POST", "/oauth2/token")
WELL_KNOWN = [("GET", "/.well-known/jwks.json"), ("GET", "/.well-known/oauth-authorization-server")]
PAGE, PICTURE = ("GET", "/oauth2/device"), ("GET", "/oauth2/device/{picture}")
PUSH_CHECK, PUSH = ("GET", "/wechat/push/{appid}"), ("POST", "/wechat/push/{appid}")
PUBLIC = [TOKEN, *WELL_KNOWN, PAGE, PICTURE, PUSH_CHECK, PUSH, HEALTH, READINESS, METRICS]
OPERATIONS = [*LOGINS, *PROTECTED, *OAUTH, *PUBLIC]
PROBLEM_JSON = "application/problem+json"
FAILURES = {
    **{operation: {"400", "403", "429", "500", "502", "503"} for operation in LOGINS},
    **{operation: {"401", "503"} for operation in PROTECTED},
    **{operation: {"400", "401", "503"} for operation in PROFILE_CHANGES},
    ("DELETE", "/v1/sessions/{session_id}"): {"401", "404", "503"},
    **{operation: {"400", "401", "404", *ASKED} for operation in PHONE_AND_UNIONID},
    ("PUT", "/v1/me/phone"): {"400", "401", "404", "409", *ASKED},
    ("DELETE", "/v1/me"): {"400", "401", "404", "503"},
    **{operation: {"400", "401", "503"} for operation in CLIENT_DATA},
    **{operation: {"401", *ASKED} for operation in SESSION_KEYS},
    **{operation: {"400", "401", "503"} for operation in OAUTH},
    TOKEN: {"400", "401", "429", "503"},
    **{operation: {"404"} for operation in WELL_KNOWN},
    **{operation: {"400", "401", "404", "429", "503"} for operation in SCANS},
    PICTURE: {"404", *ASKED},
    PUSH_CHECK: {"403", "404"},
    PUSH: {"403", "404", "502", "503"},
    READINESS: {"503"},
}
"""The failure statuses that the schema must have."""

CONFORMANCE = [
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
EXAMPLES = 20

Schema = dict[str, Any]
Operation = tuple[str, str]
Headers = Callable[[], dict[str, str]]

each_operation = pytest.mark.parametrize("operation", OPERATIONS, ids=" ".join)
each_login = pytest.mark.parametrize("operation", LOGINS, ids=" ".join)
each_protected = pytest.mark.parametrize("operation", PROTECTED, ids=" ".join)


@pytest.fixture(scope="module")
def schema(service: Service) -> Schema:
    """The published schema."""
    published: Schema = service.http.get("/docs/openapi.json").json()
    return published


class Caller:
    """A caller of operations by the schema, which validates the answers."""

    def __init__(self, service: Service, schema: Schema, session: requests.Session) -> None:
        self._url = service.url
        self._operations = schemathesis.openapi.from_dict(schema)
        self._session = session

    def call(self, operation: Operation, **case: Any) -> int:
        """Make one call, validate its answer, and return the status."""
        method, path = operation
        described = self._operations[path][method].Case(media_type="application/json", **case)
        answer = described.call_and_validate(base_url=self._url, session=self._session, checks=CONFORMANCE)
        return int(answer.status_code)

    def explore(self, operation: Operation, mode: GenerationMode, headers: Headers, *checks: Any) -> set[int]:
        """Make many calls with data that the schema allows, or that it forbids, and return the statuses."""
        method, path = operation
        statuses = set()

        @settings(
            max_examples=EXAMPLES,
            database=None,
            derandomize=True,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=self._operations[path][method].as_strategy(generation_mode=mode))
        def check(case: schemathesis.Case[Any]) -> None:
            expected = [not_a_server_error, *CONFORMANCE, *checks]
            answer = case.call_and_validate(self._url, self._session, headers(), expected)
            statuses.add(answer.status_code)

        check()
        return statuses


@pytest.fixture
def caller(service: Service, schema: Schema) -> Iterator[Caller]:
    """A caller of the service."""
    with requests.Session() as session:
        session.trust_env = False
        yield Caller(service, schema, session)


@pytest.fixture
def live_bearer(service: Service, sandbox: Sandbox) -> Headers:
    """Return a function that returns the header of a live token, with a new token after a log-out."""
    headers: dict[str, str] = {}

    def live() -> dict[str, str]:
        if not headers or service.http.get("/auth", headers=headers).status_code != 204:
            headers["Authorization"] = f"Bearer {service.log_in(sandbox.code())['token']}"
        return headers

    return live


def described(schema: Schema, operation: Operation) -> Schema:
    """Return the schema of an operation."""
    method, path = operation
    found: Schema = schema["paths"][path][method.lower()]
    return found


def references(part: Any) -> Iterator[str]:
    """Yield every $ref in a part of the schema."""
    if isinstance(part, dict):
        if isinstance(part.get("$ref"), str):
            yield part["$ref"]
        part = list(part.values())
    if isinstance(part, list):
        for item in part:
            yield from references(item)


def resolves(schema: Schema, reference: str) -> bool:
    """Return whether the reference exists in the schema."""
    part: Any = schema
    for step in reference.removeprefix("#/").split("/"):
        if not isinstance(part, dict) or step not in part:
            return False
        part = part[step]
    return True


def allows(schema: Schema, part: Schema, value: Any) -> bool:
    """Return whether a part of the schema allows the value."""
    return bool(validator_for({**part, "components": schema["components"]}).is_valid(value))


def test_every_operation_is_described(schema: Schema) -> None:
    """The schema has exactly the operations of this file."""
    published = {(method.upper(), path) for path, item in schema["paths"].items() for method in item}

    assert published == set(OPERATIONS)


def test_every_reference_exists(schema: Schema) -> None:
    """Every $ref in the schema exists."""
    assert [reference for reference in references(schema) if not resolves(schema, reference)] == []


def test_every_body_has_a_valid_example(schema: Schema) -> None:
    """Every body is described in a sentence, has an example that the schema allows, and explains each field."""
    bodies = {name: body for name, body in schema["components"]["schemas"].items() if "properties" in body}
    examples = {name: body["examples"] for name, body in bodies.items()}

    assert [name for name, body in bodies.items() if not body["description"].endswith(".")] == []
    assert [name for name, (example,) in examples.items() if not allows(schema, bodies[name], example)] == []
    assert [
        f"{name}.{field}"
        for name, body in bodies.items()
        for field, described in body["properties"].items()
        if not described["description"].endswith(".")
    ] == []


def test_every_operation_is_in_words(schema: Schema) -> None:
    """Every summary is a phrase, and no response is described by the phrase of its status alone."""
    operations = [described(schema, operation) for operation in OPERATIONS]
    responses = [response["description"] for each in operations for response in each["responses"].values()]

    assert [each["summary"] for each in operations if not 2 <= len(each["summary"].split()) <= 20] == []
    assert {status.description for status in HTTPStatus} & set(responses) == set()


def test_every_operation_has_a_unique_id(schema: Schema) -> None:
    """Operation ids are unique, and every operation has a description."""
    operations = [described(schema, operation) for operation in OPERATIONS]

    assert len({operation["operationId"] for operation in operations}) == len(OPERATIONS)
    assert all(operation["description"] for operation in operations)


@pytest.mark.parametrize("operation", [HEALTH, READINESS, METRICS], ids=" ".join)
def test_operations_for_operators_have_a_tag(schema: Schema, operation: Operation) -> None:
    """The operations for operators have the tag Operations."""
    assert described(schema, operation)["tags"] == ["Operations"]


@each_protected
def test_operations_with_a_session_declare_the_bearer_scheme(schema: Schema, operation: Operation) -> None:
    """An operation that needs a session declares the bearer scheme."""
    assert described(schema, operation).get("security") == [{"token": []}]


@pytest.mark.parametrize("operation", [*LOGINS, *PUBLIC], ids=" ".join)
def test_public_operations_declare_no_security(schema: Schema, operation: Operation) -> None:
    """A public operation declares no security."""
    assert not described(schema, operation).get("security", schema.get("security"))


@pytest.mark.parametrize("operation", FAILURES, ids=" ".join)
def test_every_failure_is_described(schema: Schema, operation: Operation) -> None:
    """The schema has every failure status of the operation."""
    assert FAILURES[operation] - set(described(schema, operation)["responses"]) == set()


@pytest.mark.parametrize("operation", [("POST", "/v1/sessions"), *PROTECTED], ids=" ".join)
def test_failures_are_problems(schema: Schema, operation: Operation) -> None:
    """Every failure under /v1 and of /auth is described as an RFC 9457 problem, and with no other type."""
    responses = described(schema, operation)["responses"].items()
    types = {status: set(response.get("content", {})) for status, response in responses if status >= "400"}

    assert types
    assert set(map(frozenset, types.values())) == {frozenset({PROBLEM_JSON})}, types


def test_a_problem_is_described(schema: Schema) -> None:
    """The schema of a problem requires all its fields, and allows only the three values of `retry`."""
    problem = schema["components"]["schemas"]["Problem"]
    whole = {"type": "urn:x", "title": "x", "status": 400, "detail": "x", "code": "x", "retry": "later"}

    assert allows(schema, problem, whole)
    assert allows(schema, problem, {**whole, "errcode": -1, "rid": "x"})
    assert not any(allows(schema, problem, {k: v for k, v in whole.items() if k != name}) for name in whole)
    assert not allows(schema, problem, {**whole, "retry": "sometimes"})


def test_both_formats_of_the_metrics_are_described(schema: Schema) -> None:
    """The schema has both formats of /metrics."""
    content = described(schema, METRICS)["responses"]["200"]["content"]

    assert set(content) == {"text/plain", "application/openmetrics-text"}


@pytest.mark.parametrize("body", [{"status": 0, "msg": "ok", "data": {"token": "x"}}, {"status": 1, "msg": "缺少参数"}])
def test_the_articles_answers_are_described(schema: Schema, body: Any) -> None:
    """The schema of POST /login/ allows its answers, and requires status and msg."""
    content = described(schema, ("POST", "/login"))["responses"]["200"]["content"]["application/json"]["schema"]

    assert allows(schema, content, body)
    assert not allows(schema, content, {})
    assert not allows(schema, content, {"status": "0", "msg": "ok"})


@each_operation
def test_calls_of_a_user_conform(caller: Caller, operation: Operation, live_bearer: Headers) -> None:
    """For any data that the schema allows, a user who is logged in gets an answer that the schema describes."""
    assert caller.explore(operation, GenerationMode.POSITIVE, live_bearer)


@each_protected
def test_calls_without_a_token_conform(caller: Caller, operation: Operation) -> None:
    """Without a token every call is refused, as the schema describes."""
    statuses = caller.explore(operation, GenerationMode.POSITIVE, dict)

    assert statuses <= {400, 401}
    assert 401 in statuses


@pytest.mark.parametrize("operation", [("POST", "/v1/sessions"), *PROFILE_CHANGES], ids=" ".join)
def test_data_that_the_schema_forbids_is_refused(caller: Caller, operation: Operation, live_bearer: Headers) -> None:
    """The service refuses data that the schema forbids."""
    assert 400 in caller.explore(operation, GenerationMode.NEGATIVE, live_bearer, negative_data_rejection)


def test_the_articles_route_conforms_to_forbidden_data(caller: Caller) -> None:
    """The answers of the article's route to forbidden data are described by the schema."""
    assert caller.explore(("POST", "/login"), GenerationMode.NEGATIVE, dict) <= {200, 400}


@each_login
def test_a_login_conforms(caller: Caller, sandbox: Sandbox, operation: Operation) -> None:
    """The answer to a successful login is described by the schema."""
    status = 200 if operation == ("POST", "/login") else 201

    assert caller.call(operation, body={"code": sandbox.code()}) == status


@each_login
@pytest.mark.parametrize(
    ("fault", "status"),
    [
        ({"errcode": -1}, 503),
        ({"errcode": 40226}, 403),
        ({"errcode": 45011}, 429),
        ({"errcode": 40164}, 500),
        ({"body": "<html>"}, 502),
    ],
    ids=str,
)
def test_a_login_that_fails_conforms(
    caller: Caller, sandbox: Sandbox, operation: Operation, fault: dict[str, Any], status: int
) -> None:
    """The answer to a login that fails at WeChat is described by the schema."""
    sandbox.fail(**fault)

    assert caller.call(operation, body={"code": sandbox.code()}) == status


def test_another_users_session_conforms(caller: Caller, live_bearer: Headers) -> None:
    """The 404 of an unknown session is described by the schema."""
    operation = ("DELETE", "/v1/sessions/{session_id}")

    assert caller.call(operation, path_parameters={"session_id": "no-such"}, headers=live_bearer()) == 404
