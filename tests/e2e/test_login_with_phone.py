"""A phone number in the same call as the login: POST /v1/sessions, the job of the worker, and the command."""

import json
import secrets
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import pytest

from support.devices import Device, problem_of
from support.jobs import run_job
from support.processes import Environment, Sandbox, Service, environment, run, running

Open = Callable[..., AbstractContextManager[Service]]

PHONE_PATH = "/wxa/business/getuserphonenumber"
NUMBER = "+8613676937921"


def log_in(service: Service, code: str, phone_code: object) -> dict[str, Any]:
    """Log in with a phone code, which must succeed."""
    answer = service.http.post("/v1/sessions", json={"code": code, "phone_code": phone_code})
    assert answer.status_code == 201, answer.text
    body: dict[str, Any] = answer.json()
    return body


def new_openid() -> str:
    """Return the openid of a new user."""
    return f"o{secrets.token_hex(13)}"


def test_the_number_is_bound_in_the_same_call(either_service: Service, sandbox: Sandbox) -> None:
    """The answer has the number, and the profile has it afterwards."""
    openid = new_openid()
    body = log_in(either_service, sandbox.code(openid=openid), sandbox.phone_code(openid=openid, phone=NUMBER))
    profile = either_service.http.get("/v1/me", headers={"Authorization": f"Bearer {body['token']}"}).json()

    assert body["user"]["phone"] == profile["phone"] == NUMBER
    assert "phone_error" not in body


def test_without_a_phone_code_the_answer_is_as_before(either_service: Service, sandbox: Sandbox) -> None:
    """A login without a phone code has neither a phone nor a phone_error in its answer."""
    body = either_service.log_in(sandbox.code())

    assert set(body) == {"token", "token_type", "session", "user"}
    assert set(body["user"]) == {"id", "is_new", "name", "avatar"}


@pytest.mark.parametrize(
    ("phone_code", "code", "retry"),
    [
        ("", "code_missing", "never"),
        ("no code", "request_invalid", "never"),
        ("0" * 64, "code_invalid", "new_code"),
    ],
    ids=["empty", "malformed", "unknown"],
)
def test_a_number_that_fails_fails_nothing_else(
    either_service: Service, sandbox: Sandbox, phone_code: str, code: str, retry: str
) -> None:
    """The login succeeds, and beside the user stands the problem of the phone number."""
    body = log_in(either_service, sandbox.code(), phone_code)
    problem = body["phone_error"]

    assert either_service.auth(body["token"]).status_code == 204
    assert body["user"]["phone"] is None
    assert (problem["code"], problem["retry"], problem["type"]) == (code, retry, f"urn:wxlogin:error:{code}")


def test_a_number_that_is_known_stays_after_a_failure(either_service: Service, sandbox: Sandbox) -> None:
    """A phone number that cannot be bound leaves the one before, and the answer has it."""
    openid = new_openid()
    log_in(either_service, sandbox.code(openid=openid), sandbox.phone_code(openid=openid, phone=NUMBER))
    body = log_in(either_service, sandbox.code(openid=openid), "0" * 64)

    assert (body["user"]["phone"], body["phone_error"]["code"]) == (NUMBER, "code_invalid")


def test_a_refused_login_leaves_the_phone_code_unspent(either_service: Service, sandbox: Sandbox) -> None:
    """WeChat is not asked for the number of a login that it refused, and the phone code works afterwards."""
    openid = new_openid()
    phone_code = sandbox.phone_code(openid=openid, phone=NUMBER)
    before = len(sandbox.calls_of(PHONE_PATH))
    refused = either_service.http.post("/v1/sessions", json={"code": "0" * 32, "phone_code": phone_code})
    asked = len(sandbox.calls_of(PHONE_PATH)) - before

    assert problem_of(refused) == (400, "code_invalid", "new_code")
    assert asked == 0
    assert log_in(either_service, sandbox.code(openid=openid), phone_code)["user"]["phone"] == NUMBER


def test_a_phone_code_of_another_type_is_refused_before_the_login(either_service: Service, sandbox: Sandbox) -> None:
    """A phone code that is no text is a malformed request: nothing is sent to WeChat."""
    code = sandbox.code()
    answer = either_service.http.post("/v1/sessions", json={"code": code, "phone_code": 5})

    assert problem_of(answer) == (400, "request_invalid", "never")
    assert either_service.log_in(code)


def test_a_failure_of_wechat_is_told_beside_the_user(either_service: Service, sandbox: Sandbox) -> None:
    """When WeChat does not answer for the phone number, the login succeeds, and asks for a new phone code."""
    openid = new_openid()
    phone_code = sandbox.phone_code(openid=openid)
    sandbox.fail(path=PHONE_PATH, errcode=-1, times=1)
    body = log_in(either_service, sandbox.code(openid=openid), phone_code)

    assert (body["phone_error"]["code"], body["phone_error"]["retry"]) == ("wechat_unavailable", "new_code")
    assert body["user"]["phone"] is None


def test_the_command_binds_a_number(env: Environment, sandbox: Sandbox) -> None:
    """`wxlogin login --phone-code` prints the body of POST /v1/sessions, with the number or its problem."""
    openid = new_openid()
    done = run("login", sandbox.code(openid=openid), "--phone-code", sandbox.phone_code(phone=NUMBER), env=env)
    failed = run("login", sandbox.code(openid=openid), "--phone-code", "0" * 64, env=env)

    assert (done.returncode, json.loads(done.stdout)["user"]["phone"]) == (0, NUMBER)
    assert (failed.returncode, json.loads(failed.stdout)["phone_error"]["code"]) == (0, "code_invalid")
    assert "phone_failed" in failed.stderr


def test_the_job_binds_a_number(sandbox: Sandbox, sqlite_url: str, own_redis_url: str) -> None:
    """wxlogin.login takes a phone code, and returns what HTTP would."""
    env = environment(database_url=sqlite_url, wechat_url=sandbox.url, redis_url=own_redis_url)
    with running("worker", env=env):
        bound = run_job(
            own_redis_url, "wxlogin.login", code=sandbox.code(), phone_code=sandbox.phone_code(phone=NUMBER)
        )
        failed = run_job(own_redis_url, "wxlogin.login", code=sandbox.code(), phone_code="0" * 64)

    assert bound["user"]["phone"] == NUMBER
    assert (failed["user"]["phone"], failed["phone_error"]["code"]) == (None, "code_invalid")


@pytest.fixture(scope="module")
def unique(open_service: Open) -> Iterator[Service]:
    """A service where a phone number has one user."""
    with open_service(phone_unique="true") as service:
        yield service


def test_a_number_of_another_user_is_refused(unique: Service, sandbox: Sandbox) -> None:
    """Where numbers are unique, the number of another user is phone_taken, at the login and afterwards."""
    log_in(unique, sandbox.code(), sandbox.phone_code(phone=NUMBER))
    other = Device(unique, sandbox.code())
    later = other.send("PUT", "/v1/me/phone", json={"code": sandbox.phone_code(phone=NUMBER)})
    at_login = log_in(unique, sandbox.code(), sandbox.phone_code(phone=NUMBER))

    assert problem_of(later) == (409, "phone_taken", "never")
    assert (at_login["phone_error"]["status"], at_login["phone_error"]["code"]) == (409, "phone_taken")
    assert other.send("GET", "/v1/me").json()["phone"] is None


def test_an_erased_users_number_is_free(unique: Service, sandbox: Sandbox) -> None:
    """After an erasure, another user can have the number."""
    number = "+8613676937000"
    first = Device(unique, sandbox.code())
    first.send("PUT", "/v1/me/phone", json={"code": sandbox.phone_code(phone=number)}).raise_for_status()
    first.send("DELETE", "/v1/me", json={"confirm": True}).raise_for_status()

    assert log_in(unique, sandbox.code(), sandbox.phone_code(phone=number))["user"]["phone"] == number
