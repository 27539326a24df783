"""/v1/wechat and /v1/me beyond the profile: what needs WeChat after login."""

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
    """A WeChat user with one phone, and what they may ask."""

    def __init__(self, service: Service, sandbox: Sandbox) -> None:
        self.openid = f"o{secrets.token_hex(13)}"
        self._service = service
        self._sandbox = sandbox
        self.log_in()

    def log_in(self) -> None:
        """wx.login(), and the service."""
        login = self._service.log_in(self._sandbox.code(openid=self.openid))
        self.session_id = login["session"]["id"]
        self._bearer = {"Authorization": f"Bearer {login['token']}"}

    def ask(self, method: str, path: str, **request: Any) -> httpx2.Response:
        """A request with this person's token."""
        return self._service.http.request(method, path, headers=self._bearer, **request)

    def decrypt(self, encrypted: dict[str, str]) -> httpx2.Response:
        """Let the service decrypt what wx.getUserInfo() gave."""
        return self.ask("POST", "/v1/wechat/decrypt", json={name: encrypted[name] for name in ("encryptedData", "iv")})

    def encrypted(self, **data: Any) -> dict[str, str]:
        """What wx.getUserInfo() gives."""
        return self._sandbox.encrypt(self.openid, data)


@pytest.fixture
def ann(either_service: Service, sandbox: Sandbox) -> Person:
    """Somebody who is logged in."""
    return Person(either_service, sandbox)


def refusal(answer: httpx2.Response) -> tuple[int, str, str]:
    """What a program goes by."""
    body = answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    return answer.status_code, body["code"], body["retry"]


UNDECRYPTABLE = (400, "data_undecryptable", "new_code")
MALFORMED = (400, "request_invalid", "never")


def test_data_is_decrypted(ann: Person) -> None:
    """What WeChat encrypted for the user comes back as it was, with its watermark."""
    answer = ann.decrypt(ann.encrypted(nickName="小明 👩", gender=1, nested={"list": [1, None]}))

    assert answer.status_code == 200
    assert answer.json().pop("watermark")["appid"] == APPID
    assert {"nickName": "小明 👩", "gender": 1, "nested": {"list": [1, None]}}.items() <= answer.json().items()


def test_data_under_the_key_before_is_decrypted(ann: Person, either_service: Service) -> None:
    """Data that the client got before a fresh wx.login() opens after it, and the log says with which key."""
    before = ann.encrypted(phone="1")
    ann.log_in()
    after = ann.encrypted(phone="2")

    assert [ann.decrypt(data).json()["phone"] for data in (before, after)] == ["1", "2"]
    wait_until(lambda: len(keys_logged(either_service, ann)) == 2, "the log")
    assert keys_logged(either_service, ann) == ["previous", "current"]


def keys_logged(service: Service, person: Person) -> list[str]:
    """Which keys opened data in the person's session, as the log says."""
    events = [event for event in service.process.events() if event.get("session_id") == person.session_id]
    return [event["key"] for event in events if event["event"] == "decrypted"]


def test_data_from_before_the_key_before_is_not(ann: Person) -> None:
    """Two logins later the data does not open, and a new login is what helps."""
    data = ann.encrypted(x=1)
    ann.log_in()
    ann.log_in()

    assert refusal(ann.decrypt(data)) == UNDECRYPTABLE


@pytest.mark.parametrize(
    "watermark", [{"appid": "wxfedcba9876543210", "timestamp": 1}, {}, "none", None, APPID, [APPID]]
)
def test_data_of_another_app_is_refused(ann: Person, watermark: object) -> None:
    """Data that opens but was not made for this app is watermark_mismatch."""
    data = ann.encrypted(watermark=watermark, secret="of another app")

    answer = ann.decrypt(data)

    assert refusal(answer) == (400, "watermark_mismatch", "never")
    assert "of another app" not in answer.text


def test_data_of_another_user_does_not_open(ann: Person, either_service: Service, sandbox: Sandbox) -> None:
    """One user's data is nothing to another user's session."""
    bob = Person(either_service, sandbox)

    assert refusal(bob.decrypt(ann.encrypted(x=1))) == UNDECRYPTABLE


def test_a_flipped_bit_never_shows_what_is_wrong(ann: Person) -> None:
    """Whichever bit of the last block is flipped, the answer is one and the same: no padding oracle."""
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
    """Wrong base64 and wrong lengths are request_invalid, and name the field."""
    answer = ann.decrypt({**ann.encrypted(x=1), field: value})

    assert refusal(answer) == MALFORMED
    assert field in answer.json()["detail"]


@pytest.mark.parametrize(
    "body", [{}, {"encryptedData": "AAAA"}, {"iv": "AAAA"}, {"encryptedData": 1, "iv": 2}, [], "x"]
)
@pytest.mark.parametrize("path", ["/v1/wechat/decrypt", "/v1/wechat/verify", "/v1/wechat/check"])
def test_a_body_that_lacks_what_is_needed_is_the_callers_fault(ann: Person, path: str, body: object) -> None:
    """A missing or mistyped field is request_invalid; nobody decrypts nothing."""
    if path == "/v1/wechat/check" and body == {"encryptedData": "AAAA"}:
        body = {"encrypted_data": "AAAA"}

    assert refusal(ann.ask("POST", path, json=body)) == MALFORMED


def test_a_megabyte_is_refused(ann: Person) -> None:
    """Data of a megabyte is refused before it is looked at, and the next request works."""
    answer = ann.decrypt({"encryptedData": base64.b64encode(bytes(1_000_000)).decode(), "iv": "A" * 22 + "=="})

    assert refusal(answer) == (413, *MALFORMED[1:])
    assert ann.decrypt(ann.encrypted(x=1)).status_code == 200


def test_a_signature_is_verified(ann: Person) -> None:
    """rawData is valid with WeChat's signature, also under the key before, and with no other."""
    signed = ann.encrypted(nickName="小明")
    ann.log_in()

    def valid(**change: str) -> bool:
        body = {name: signed[name] for name in ("rawData", "signature")} | change
        answer = ann.ask("POST", "/v1/wechat/verify", json=body)
        assert answer.status_code == 200, answer.text
        return bool(answer.json()["valid"])

    assert valid()
    assert not valid(rawData=signed["rawData"] + " ")
    assert not valid(signature=signed["signature"][::-1])
    assert not any(valid(signature=wrong) for wrong in ("", "0" * 40, "签名", "x" * 10_000))


def test_the_session_key_is_checked(ann: Person, sandbox: Sandbox) -> None:
    """The stored key is WeChat's, until a wx.login() elsewhere replaces it."""
    before = ann.ask("GET", "/v1/wechat/session-key").json()
    sandbox.code(openid=ann.openid)
    after = ann.ask("GET", "/v1/wechat/session-key").json()

    assert (before, after) == ({"valid": True}, {"valid": False})


def test_a_reset_key_is_kept(ann: Person) -> None:
    """After a reset the new key is WeChat's and opens new data, and data from before still opens."""
    before = ann.encrypted(x=1)
    reset = ann.ask("POST", "/v1/wechat/session-key/reset")

    assert (reset.status_code, reset.content) == (204, b"")
    assert ann.ask("GET", "/v1/wechat/session-key").json() == {"valid": True}
    assert [ann.decrypt(data).json()["x"] for data in (before, ann.encrypted(x=2))] == [1, 2]


def test_a_key_that_wechat_replaced_cannot_be_reset(ann: Person, sandbox: Sandbox) -> None:
    """When the stored key is not WeChat's any more, only a new login helps."""
    sandbox.code(openid=ann.openid)

    assert refusal(ann.ask("POST", "/v1/wechat/session-key/reset")) == UNDECRYPTABLE


def test_genuine_data_is_told_from_forged(ann: Person) -> None:
    """WeChat says of encrypted data that it made it, and when."""
    genuine = ann.ask("POST", "/v1/wechat/check", json={"encryptedData": ann.encrypted(x=1)["encryptedData"]}).json()
    forged = ann.ask("POST", "/v1/wechat/check", json={"encryptedData": "AAAA"}).json()

    assert genuine["valid"]
    assert genuine["created_at"].endswith("Z")
    assert forged == {"valid": False, "created_at": None}


def test_the_users_own_keys_are_listed(ann: Person) -> None:
    """The keys of wx.getUserCryptoManager() are there for the backend, newest first."""
    (key, *_) = ann.ask("GET", "/v1/wechat/encrypt-keys").json()["keys"]

    assert len(base64.b64decode(key["encrypt_key"])) == len(key["iv"]) == 16
    assert key["created_at"] < key["expires_at"]


@pytest.mark.parametrize("phone", ["+8613800138000", "+85212345678"])
def test_a_phone_number_is_bound(ann: Person, sandbox: Sandbox, phone: str) -> None:
    """The number behind a phone-button code is the profile's from then on, with its country code."""
    answer = ann.ask("PUT", "/v1/me/phone", json={"code": sandbox.phone_code(openid=ann.openid, phone=phone)})

    assert (answer.status_code, answer.json()["phone"]) == (200, phone)
    assert ann.ask("GET", "/v1/me").json() == answer.json()


def test_a_phone_code_works_once(ann: Person, sandbox: Sandbox) -> None:
    """A replayed phone code is refused and changes nothing."""
    code = sandbox.phone_code(phone="+8613800138000")
    ann.ask("PUT", "/v1/me/phone", json={"code": code})
    replayed = ann.ask("PUT", "/v1/me/phone", json={"code": code})

    assert refusal(replayed) == (400, "code_invalid", "new_code")
    assert replayed.json()["errcode"] == 40029
    assert ann.ask("GET", "/v1/me").json()["phone"] == "+8613800138000"


def test_a_login_code_sent_to_phone_is_recognised(ann: Person, sandbox: Sandbox) -> None:
    """Who sends a wx.login() code here is told so; the code is still good for a login."""
    code = sandbox.code()
    answer = ann.ask("PUT", "/v1/me/phone", json={"code": code})

    assert refusal(answer) == (400, "code_invalid", "new_code")
    assert "wx.login()" in answer.json()["detail"]
    assert code not in answer.text


def test_a_phone_code_sent_to_login_is_recognised(service: Service, sandbox: Sandbox) -> None:
    """Who sends a phone-button code to login is told where it belongs."""
    answer = service.http.post("/v1/sessions", json={"code": sandbox.phone_code()})

    assert refusal(answer) == (400, "code_invalid", "new_code")
    assert "/v1/me/phone" in answer.json()["detail"]


def test_a_phone_code_of_another_app_is_refused(ann: Person, sandbox: Sandbox) -> None:
    """A code of another mini-program is the client's mistake, not the operator's."""
    code = sandbox.phone_code(appid="wxfedcba9876543210")

    assert refusal(ann.ask("PUT", "/v1/me/phone", json={"code": code})) == (400, "code_invalid", "new_code")


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
    """A code that the phone button never gives is refused without asking WeChat."""
    before = sandbox.call_count()

    assert refusal(ann.ask("PUT", "/v1/me/phone", json=body)) == (400, code, "never")
    assert sandbox.call_count() == before


def test_a_payment_tells_the_unionid(ann: Person, sandbox: Sandbox) -> None:
    """Who just paid has their unionid added; one who did not, has not."""
    sandbox.code(openid=ann.openid, unionid=f"u{ann.openid}")
    number = f"42{secrets.randbelow(10**20)}"
    sandbox.pay(ann.openid, number)
    unknown = ann.ask("PUT", "/v1/me/unionid", json={"transaction_id": "4200000"})
    paid = ann.ask("PUT", "/v1/me/unionid", json={"transaction_id": number})

    assert refusal(unknown) == (404, "not_found", "never")
    assert (paid.status_code, paid.json()["unionid"]) == (200, f"u{ann.openid}")


@pytest.mark.parametrize(
    "body", [{}, {"mch_id": "1"}, {"out_trade_no": "1"}, {"transaction_id": ""}, {"transaction_id": "令"}]
)
def test_half_a_payment_is_the_callers_fault(ann: Person, body: dict[str, str]) -> None:
    """Without the transaction, or merchant and order, nobody asks WeChat."""
    assert refusal(ann.ask("PUT", "/v1/me/unionid", json=body)) == MALFORMED


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
def test_only_a_session_may_ask(service: Service, method: str, path: str) -> None:
    """Without a token every one of these routes is 401."""
    assert refusal(service.http.request(method, path, json={})) == (401, "token_missing", "new_code")


@pytest.mark.parametrize(
    "fault", [{"drop": True}, {"status": 500}, {"body": "<html>"}, {"errcode": -1}, {"errcode": 99999}]
)
def test_a_failing_wechat_may_be_asked_again(ann: Person, sandbox: Sandbox, fault: dict[str, Any]) -> None:
    """A call without a code says `later`, with Retry-After, when WeChat fails; the next one works."""
    assert ann.ask("GET", "/v1/wechat/session-key").status_code == 200
    sandbox.fail(path=CHECK_PATH, **fault)
    failed = ann.ask("GET", "/v1/wechat/session-key")

    assert failed.status_code in (502, 503)
    assert failed.json()["retry"] == "later"
    assert failed.headers["retry-after"] == "1"
    assert ann.ask("GET", "/v1/wechat/session-key").json() == {"valid": True}


def test_a_phone_code_whose_answer_was_lost_is_said_to_be_spent(ann: Person, sandbox: Sandbox) -> None:
    """When WeChat's answer is lost after the code was spent, the client is told to get a new one."""
    ann.ask("GET", "/v1/wechat/session-key")
    sandbox.fail(path=PHONE_PATH, drop=True, executed=True)
    code = sandbox.phone_code()
    lost = ann.ask("PUT", "/v1/me/phone", json={"code": code})

    assert refusal(lost) == (503, "wechat_unavailable", "new_code")
    assert len([call for call in sandbox.calls_of(PHONE_PATH) if call["status"] is None]) >= 1
    assert refusal(ann.ask("PUT", "/v1/me/phone", json={"code": code})) == (400, "code_invalid", "new_code")
