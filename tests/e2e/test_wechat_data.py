"""/v1/wechat, and the parts of /v1/me that need WeChat after login."""

import base64
import secrets
from typing import Any

import httpx2
import pytest

from support.processes import APPID, Sandbox, Service
from support.servers import wait_until

TOKEN_PATH = "/cgi-bin/stable_token"
PHONE_PATH = "/wxa/business/getuserphonenumber"
CHECK_PATH = "/wxa/checksession"


class Person:
    """A WeChat user with one phone, and the user's requests."""

    def __init__(self, service: Service, sandbox: Sandbox) -> None:
        self.openid = f"o{secrets.token_hex(13)}"
        self._service = service
        self._sandbox = sandbox
        self.log_in()

    def log_in(self) -> None:
        """Log in with a new code of wx.login()."""
        login = self._service.log_in(self._sandbox.code(openid=self.openid))
        self.session_id = login["session"]["id"]
        self._bearer = {"Authorization": f"Bearer {login['token']}"}

    def send(self, method: str, path: str, **request: Any) -> httpx2.Response:
        """Send a request with this person's token."""
        return self._service.http.request(method, path, headers=self._bearer, **request)

    def decrypt(self, encrypted: dict[str, str]) -> httpx2.Response:
        """Decrypt the data of wx.getUserInfo() with the service."""
        return self.send("POST", "/v1/wechat/decrypt", json={name: encrypted[name] for name in ("encryptedData", "iv")})

    def encrypted(self, **data: Any) -> dict[str, str]:
        """Return data as wx.getUserInfo() does."""
        return self._sandbox.encrypt(self.openid, data)


@pytest.fixture
def ann(either_service: Service, sandbox: Sandbox) -> Person:
    """A user who is logged in."""
    return Person(either_service, sandbox)


def refusal(answer: httpx2.Response) -> tuple[int, str, str]:
    """Return the status, the code and the retry advice of a refusal."""
    body = answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    return answer.status_code, body["code"], body["retry"]


UNDECRYPTABLE = (400, "data_undecryptable", "new_code")
MALFORMED = (400, "request_invalid", "never")


def test_data_is_decrypted(ann: Person) -> None:
    """Data that WeChat encrypted for the user is decrypted completely, with its watermark."""
    answer = ann.decrypt(ann.encrypted(nickName="小明 👩", gender=1, nested={"list": [1, None]}))

    assert answer.status_code == 200
    assert answer.json().pop("watermark")["appid"] == APPID
    assert {"nickName": "小明 👩", "gender": 1, "nested": {"list": [1, None]}}.items() <= answer.json().items()


def test_data_under_the_previous_key_is_decrypted(ann: Person, either_service: Service) -> None:
    """Data from before a new wx.login() is still decrypted, and the log names the key."""
    before = ann.encrypted(phone="1")
    ann.log_in()
    after = ann.encrypted(phone="2")

    assert [ann.decrypt(data).json()["phone"] for data in (before, after)] == ["1", "2"]
    wait_until(lambda: len(keys_logged(either_service, ann)) == 2, "the log")
    assert keys_logged(either_service, ann) == ["previous", "current"]


def keys_logged(service: Service, person: Person) -> list[str]:
    """Return the names of the keys that decrypted data in the person's session, from the log."""
    events = [event for event in service.process.events() if event.get("session_id") == person.session_id]
    return [event["key"] for event in events if event["event"] == "decrypted"]


def test_data_from_before_the_previous_key_is_undecryptable(ann: Person) -> None:
    """Data from before the last two logins is data_undecryptable, with the advice to log in again."""
    data = ann.encrypted(x=1)
    ann.log_in()
    ann.log_in()

    assert refusal(ann.decrypt(data)) == UNDECRYPTABLE


@pytest.mark.parametrize(
    "watermark", [{"appid": "wxfedcba9876543210", "timestamp": 1}, {}, "none", None, APPID, [APPID]]
)
def test_data_of_another_app_is_refused(ann: Person, watermark: object) -> None:
    """Data with the watermark of another app is watermark_mismatch."""
    data = ann.encrypted(watermark=watermark, secret="of another app")

    answer = ann.decrypt(data)

    assert refusal(answer) == (400, "watermark_mismatch", "never")
    assert "of another app" not in answer.text


def test_data_of_another_user_is_undecryptable(ann: Person, either_service: Service, sandbox: Sandbox) -> None:
    """The data of one user cannot be decrypted in the session of another."""
    bob = Person(either_service, sandbox)

    assert refusal(bob.decrypt(ann.encrypted(x=1))) == UNDECRYPTABLE


def test_a_changed_bit_always_gives_the_same_error(ann: Person) -> None:
    """A changed bit in the last block gives the same error at any position, so that there is no padding oracle."""
    data = ann.encrypted(filler="x" * 40)
    raw = base64.b64decode(data["encryptedData"])
    answers = set()
    for bit in range(0, 128, 2):  # a session may not decrypt more often
        flipped = bytearray(raw)
        flipped[-32 + bit // 8] ^= 1 << bit % 8
        answer = ann.decrypt({**data, "encryptedData": base64.b64encode(flipped).decode()})
        answers.add((answer.status_code, answer.text if answer.status_code != 200 else ""))

    assert len([told for status, told in answers if status != 200]) == 1
    assert {status for status, _ in answers} <= {200, 400}


WRONG = {
    "empty": "",
    "no base64": "!!!!",
    "Chinese": "加密",
    "URL-safe": base64.urlsafe_b64encode(b"\xff" * 16).decode(),
    "cut": base64.b64encode(b"x" * 15).decode(),
    "too long by one": base64.b64encode(b"x" * 17).decode(),
    "unpadded": base64.b64encode(b"x" * 16).decode().rstrip("="),
    "a space for a plus": "+" * 22 + " =",
    "a line break": base64.b64encode(b"x" * 16).decode() + "\n",
    "NUL": "\x00" * 24,
}


@pytest.mark.parametrize("value", WRONG.values(), ids=WRONG)
@pytest.mark.parametrize("field", ["encryptedData", "iv"])
def test_malformed_encrypted_data_is_request_invalid(ann: Person, field: str, value: str) -> None:
    """Malformed base64 and wrong lengths are request_invalid, and the detail names the field."""
    answer = ann.decrypt({**ann.encrypted(x=1), field: value})

    assert refusal(answer) == MALFORMED
    assert field in answer.json()["detail"]


@pytest.mark.parametrize(
    "body", [{}, {"encryptedData": "AAAA"}, {"iv": "AAAA"}, {"encryptedData": 1, "iv": 2}, [], "x"]
)
@pytest.mark.parametrize("path", ["/v1/wechat/decrypt", "/v1/wechat/verify", "/v1/wechat/check"])
def test_a_body_without_required_fields_is_the_callers_fault(ann: Person, path: str, body: object) -> None:
    """A missing field, or a field of the wrong type, is request_invalid."""
    if path == "/v1/wechat/check" and body == {"encryptedData": "AAAA"}:
        body = {"encrypted_data": "AAAA"}

    assert refusal(ann.send("POST", path, json=body)) == MALFORMED


def test_a_megabyte_is_refused(ann: Person) -> None:
    """Data of one megabyte is refused as too large, and the next request succeeds."""
    answer = ann.decrypt({"encryptedData": base64.b64encode(bytes(1_000_000)).decode(), "iv": "A" * 22 + "=="})

    assert refusal(answer) == (413, *MALFORMED[1:])
    assert ann.decrypt(ann.encrypted(x=1)).status_code == 200


def test_a_signature_is_verified(ann: Person) -> None:
    """rawData is valid with WeChat's signature, also under the previous key, and with no other signature."""
    signed = ann.encrypted(nickName="小明")
    ann.log_in()

    def valid(**change: str) -> bool:
        body = {name: signed[name] for name in ("rawData", "signature")} | change
        answer = ann.send("POST", "/v1/wechat/verify", json=body)
        assert answer.status_code == 200, answer.text
        return bool(answer.json()["valid"])

    assert valid()
    assert not valid(rawData=signed["rawData"] + " ")
    assert not valid(signature=signed["signature"][::-1])
    assert not any(valid(signature=wrong) for wrong in ("", "0" * 40, "签名", "x" * 10_000))


def test_the_session_key_is_checked(ann: Person, sandbox: Sandbox) -> None:
    """The stored session_key is valid, until a wx.login() elsewhere replaces it at WeChat."""
    before = ann.send("GET", "/v1/wechat/session-key").json()
    sandbox.code(openid=ann.openid)
    after = ann.send("GET", "/v1/wechat/session-key").json()

    assert (before, after) == ({"valid": True}, {"valid": False})


def test_a_reset_key_is_stored(ann: Person) -> None:
    """After a reset the new key is valid at WeChat. New and earlier data can be decrypted."""
    before = ann.encrypted(x=1)
    reset = ann.send("POST", "/v1/wechat/session-key/reset")

    assert (reset.status_code, reset.content) == (204, b"")
    assert ann.send("GET", "/v1/wechat/session-key").json() == {"valid": True}
    assert [ann.decrypt(data).json()["x"] for data in (before, ann.encrypted(x=2))] == [1, 2]


def test_a_key_that_wechat_replaced_cannot_be_reset(ann: Person, sandbox: Sandbox) -> None:
    """When WeChat has another key than the stored one, a reset is data_undecryptable. The advice is a new login."""
    sandbox.code(openid=ann.openid)

    assert refusal(ann.send("POST", "/v1/wechat/session-key/reset")) == UNDECRYPTABLE


def test_genuine_and_forged_data_are_distinguished(ann: Person) -> None:
    """The check of encrypted data says whether WeChat made it, and when."""
    genuine = ann.send("POST", "/v1/wechat/check", json={"encryptedData": ann.encrypted(x=1)["encryptedData"]}).json()
    forged = ann.send("POST", "/v1/wechat/check", json={"encryptedData": "AAAA"}).json()

    assert genuine["valid"]
    assert genuine["created_at"].endswith("Z")
    assert forged == {"valid": False, "created_at": None}


def test_the_users_own_keys_are_listed(ann: Person) -> None:
    """The keys of wx.getUserCryptoManager() are returned, with their times."""
    (key, *_) = ann.send("GET", "/v1/wechat/encrypt-keys").json()["keys"]

    assert len(base64.b64decode(key["encrypt_key"])) == len(key["iv"]) == 16
    assert key["created_at"] < key["expires_at"]


@pytest.mark.parametrize("phone", ["+8613800138000", "+85212345678"])
def test_a_phone_number_is_bound(ann: Person, sandbox: Sandbox, phone: str) -> None:
    """The phone number of a phone code is stored in the profile, with its country code."""
    answer = ann.send("PUT", "/v1/me/phone", json={"code": sandbox.phone_code(openid=ann.openid, phone=phone)})

    assert (answer.status_code, answer.json()["phone"]) == (200, phone)
    assert ann.send("GET", "/v1/me").json() == answer.json()


def test_a_phone_code_works_once(ann: Person, sandbox: Sandbox) -> None:
    """A used phone code is refused, and changes nothing."""
    code = sandbox.phone_code(phone="+8613800138000")
    ann.send("PUT", "/v1/me/phone", json={"code": code})
    replayed = ann.send("PUT", "/v1/me/phone", json={"code": code})

    assert refusal(replayed) == (400, "code_invalid", "new_code")
    assert replayed.json()["errcode"] == 40029
    assert ann.send("GET", "/v1/me").json()["phone"] == "+8613800138000"


def test_a_login_code_sent_to_phone_is_recognised(ann: Person, sandbox: Sandbox) -> None:
    """A login code that is sent to /v1/me/phone is refused, and the detail names wx.login()."""
    code = sandbox.code()
    answer = ann.send("PUT", "/v1/me/phone", json={"code": code})

    assert refusal(answer) == (400, "code_invalid", "new_code")
    assert "wx.login()" in answer.json()["detail"]
    assert code not in answer.text


def test_a_phone_code_sent_to_login_is_recognised(service: Service, sandbox: Sandbox) -> None:
    """A phone code that is sent to the login is refused, and the detail names /v1/me/phone."""
    answer = service.http.post("/v1/sessions", json={"code": sandbox.phone_code()})

    assert refusal(answer) == (400, "code_invalid", "new_code")
    assert "/v1/me/phone" in answer.json()["detail"]


def test_a_phone_code_of_another_app_is_refused(ann: Person, sandbox: Sandbox) -> None:
    """A phone code of another mini-program is code_invalid, and not an error of the operator."""
    code = sandbox.phone_code(appid="wxfedcba9876543210")

    assert refusal(ann.send("PUT", "/v1/me/phone", json={"code": code})) == (400, "code_invalid", "new_code")


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({}, "code_missing"),
        ({"code": ""}, "code_missing"),
        ({"code": None}, "code_missing"),
        ({"code": 1}, "request_invalid"),
    ]
    + [({"code": text}, "request_invalid") for text in ("a b", "令牌", "x" * 513, "\x00")],
)
def test_a_malformed_phone_code_is_not_sent_to_wechat(
    ann: Person, sandbox: Sandbox, body: dict[str, Any], code: str
) -> None:
    """A malformed phone code is refused without a call to WeChat."""
    before = sandbox.call_count()

    assert refusal(ann.send("PUT", "/v1/me/phone", json=body)) == (400, code, "never")
    assert sandbox.call_count() == before


def test_a_payment_adds_the_unionid(ann: Person, sandbox: Sandbox) -> None:
    """A payment of the user adds the user's unionid. An unknown payment is not_found."""
    sandbox.code(openid=ann.openid, unionid=f"u{ann.openid}")
    number = f"42{secrets.randbelow(10**20)}"
    sandbox.pay(ann.openid, number)
    unknown = ann.send("PUT", "/v1/me/unionid", json={"transaction_id": "4200000"})
    paid = ann.send("PUT", "/v1/me/unionid", json={"transaction_id": number})

    assert refusal(unknown) == (404, "not_found", "never")
    assert (paid.status_code, paid.json()["unionid"]) == (200, f"u{ann.openid}")


@pytest.mark.parametrize(
    "body", [{}, {"mch_id": "1"}, {"out_trade_no": "1"}, {"transaction_id": ""}, {"transaction_id": "令"}]
)
def test_an_incomplete_payment_is_the_callers_fault(ann: Person, body: dict[str, str]) -> None:
    """An incomplete payment is request_invalid."""
    assert refusal(ann.send("PUT", "/v1/me/unionid", json=body)) == MALFORMED


ROUTES = [
    ("PUT", "/v1/me/phone"),
    ("PUT", "/v1/me/unionid"),
    ("POST", "/v1/wechat/decrypt"),
    ("POST", "/v1/wechat/verify"),
    ("POST", "/v1/wechat/check"),
    ("GET", "/v1/wechat/session-key"),
    ("POST", "/v1/wechat/session-key/reset"),
    ("GET", "/v1/wechat/encrypt-keys"),
]


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_every_route_needs_a_session(service: Service, method: str, path: str) -> None:
    """Without a token every one of these routes is 401."""
    assert refusal(service.http.request(method, path, json={})) == (401, "token_missing", "new_code")


@pytest.mark.parametrize(
    "fault", [{"drop": True}, {"status": 500}, {"body": "<html>"}, {"errcode": -1}, {"errcode": 99999}]
)
def test_a_call_can_be_repeated_after_a_failure_of_wechat(ann: Person, sandbox: Sandbox, fault: dict[str, Any]) -> None:
    """When WeChat fails, a call without a code has the advice `later` and Retry-After, and the next call succeeds."""
    assert ann.send("GET", "/v1/wechat/session-key").status_code == 200
    sandbox.fail(path=CHECK_PATH, **fault)
    failed = ann.send("GET", "/v1/wechat/session-key")

    assert failed.status_code in (502, 503)
    assert failed.json()["retry"] == "later"
    assert failed.headers["retry-after"] == "1"
    assert ann.send("GET", "/v1/wechat/session-key").json() == {"valid": True}


def test_a_lost_answer_to_a_phone_code_asks_for_a_new_code(ann: Person, sandbox: Sandbox) -> None:
    """When WeChat's answer to a used phone code is lost, the client gets the advice to get a new code."""
    ann.send("GET", "/v1/wechat/session-key")
    sandbox.fail(path=PHONE_PATH, drop=True, executed=True)
    code = sandbox.phone_code()
    lost = ann.send("PUT", "/v1/me/phone", json={"code": code})

    assert refusal(lost) == (503, "wechat_unavailable", "new_code")
    assert len([call for call in sandbox.calls_of(PHONE_PATH) if call["status"] is None]) >= 1
    assert refusal(ann.send("PUT", "/v1/me/phone", json={"code": code})) == (400, "code_invalid", "new_code")
