"""Message pushes are read as WeChat writes them, and refused when someone else wrote them."""

import json
from base64 import b64decode, b64encode
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from hypothesis import given, settings
from hypothesis import strategies as st
from wechatpy.crypto import WeChatCrypto

from adapters.wechat.push_reader import PushKeys, WeChatPushReader, fields_of, sign
from domain.errors import NotFound
from domain.identity import AppId
from domain.push import Push, PushRefused, PushType, RawPush
from support.pushes import AES_KEY, OTHER_AES_KEY, TOKEN, as_json, as_xml, event, revocation, signed
from wechat_sandbox import pushes

APP, OTHER = AppId("wx0123456789abcdef"), AppId("wxfedcba9876543210")
NOW = datetime(2024, 4, 26, 6, 20, 45, tzinfo=UTC)
OPENID = "oaKk343WOktAaT2ygsX138BGblrg"

OFFICIAL_APP = AppId("wxba5fad812f8e6fb9")
OFFICIAL_KEYS = PushKeys("AAAAA", "A" * 43)
OFFICIAL_ENCRYPTED = (
    "+qdx1OKCy+5JPCBFWw70tm0fJGb2Jmeia4FCB7kao+/Q5c/ohsOzQHi8khUOb05JCpj0JB4RvQMkUyus8TPxLKJGQqcvZqzDpVzazhZv6JsXUnnR8XGT74"
    "0XgXZUXQ7vJVnAG+tE8NUd4yFyjPy7GgiaviNrlCTj+l5kdfMuFUPpRSrfMZuMcp3Fn2Pede2IuQrKEYwKSqFIZoNqJ4M8EajAsjLY2km32IIjdf8YL/P5"
    "0F7mStwntrA2cPDrM1kb6mOcfBgRtWygb3VIYnSeOBrebufAlr7F9mFUPAJGj04="
)
OFFICIAL_QUERY = (
    "signature=6c5c811b55cc85e0e1b54100749188c20beb3f5d&timestamp=1714112445&nonce=415670741"
    "&openid=o9AgO5Kd5ggOC-bXrbNODIiE3bGY&encrypt_type=aes&msg_signature=046e02f8204d34f8ba5fa3b1db94908f3df2e9b3"
)
"""The samples of WeChat's documentation (framework/server-ability/message-push.html)."""

SAMPLE_XML = f"""<xml>

<ToUserName><![CDATA[gh_870882ca4b1]]></ToUserName>
<FromUserName><![CDATA[owAqB1v0ahK_Xlc7GshIDdf2yf7E]]></FromUserName>
<CreateTime>1714112445</CreateTime>
<MsgType><![CDATA[event]]></MsgType>
<Event><![CDATA[user_authorization_revoke]]></Event>
<OpenID><![CDATA[{OPENID}]]></OpenID>
<AppID><![CDATA[{APP}]]></AppID>
<RevokeInfo><![CDATA[8]]></RevokeInfo>
<PluginID><![CDATA[wx13974bf780d3dc89]]></PluginID>
< OpenPID><![CDATA[G7esq5NVzP76HIHoB95t4CVBP6to]]></OpenPID>

</xml>""".encode()
SAMPLE_JSON = f"""{{
"ToUserName": "gh_870882ca4b1",
"FromUserName": "oaKk346BaWE-eIn4oSRWbaM9vR7s",
"CreateTime": 1714112445,
"MsgType": "event",
"Event": "user_authorization_revoke",
" OpenID": "{OPENID}",
" AppID": "{APP}",
" RevokeInfo": "8"
}}""".encode()
"""Like those of WeChat's page about the events, which have blanks in front of some names."""


def reader(keys: PushKeys | None = None, app: AppId = APP, now: datetime = NOW) -> WeChatPushReader:
    """Return a reader of one app, by default with a Token only."""
    return WeChatPushReader({app: keys or PushKeys(TOKEN)}, lambda: now)


SAFE = PushKeys(TOKEN, AES_KEY)


def request(body: bytes, *more: str, name: str = "signature", **given: str) -> RawPush:
    """Return a request at NOW, whose signature also covers `more`."""
    return RawPush(urlencode(signed(*more, name=name, at=NOW.timestamp()) | given), body)


def sealed(message: bytes, key: str = AES_KEY, app: AppId = APP) -> RawPush:
    """Return the encrypted request, as WeChat sends it."""
    return with_encrypted(pushes.encrypt(message, key, app.value))


def with_encrypted(encrypted: str) -> RawPush:
    """Return the request with this ciphertext, and with a correct signature."""
    return request(as_json({"ToUserName": "gh_1", "Encrypt": encrypted}), encrypted, name="msg_signature")


def reason(refused: pytest.ExceptionInfo[PushRefused]) -> str:
    """Return the reason for the log."""
    return refused.value.reason


def test_wechats_own_check_is_answered() -> None:
    """The check of WeChat's documentation has the right signature, and is answered with its echostr."""
    query = (
        "signature=f464b24fc39322e44b38aa78f5edd27bd1441696&echostr=4375120948345356249"
        "&timestamp=1714036504&nonce=1514711492"
    )
    now = datetime.fromtimestamp(1714036504, UTC)

    assert sign("AAAAA", "1714036504", "1514711492") == "f464b24fc39322e44b38aa78f5edd27bd1441696"
    assert reader(OFFICIAL_KEYS, now=now).read_check(APP, RawPush(query)) == "4375120948345356249"


@pytest.mark.parametrize("body", [as_json, as_xml])
def test_wechats_own_encrypted_push_is_read(body: object) -> None:
    """The encrypted push of WeChat's documentation is read, in either envelope."""
    assert callable(body)
    given = RawPush(OFFICIAL_QUERY, body({"ToUserName": "gh_97417a04a28d", "Encrypt": OFFICIAL_ENCRYPTED}))
    push = reader(OFFICIAL_KEYS, OFFICIAL_APP).read(OFFICIAL_APP, given)

    assert (push.name, push.type, push.time) == ("debug_demo", None, NOW)


def test_wechats_own_plain_push_is_read() -> None:
    """The plain push of WeChat's documentation is read."""
    query = "signature=899cf89e464efb63f54ddac96b0a0a235f53aa78&timestamp=1714037059&nonce=486452656"
    body = b'{"CreateTime": 1714037059, "MsgType": "event", "Event": "debug_demo", "debug_str": "hello world"}'
    now = datetime.fromtimestamp(1714037059, UTC)

    assert reader(PushKeys("AAAAA"), now=now).read(APP, RawPush(query, body)).name == "debug_demo"


@pytest.mark.parametrize("sample", [SAMPLE_XML, SAMPLE_JSON], ids=["xml", "json"])
def test_wechats_samples_of_events_are_read(sample: bytes) -> None:
    """WeChat's samples are read, though names in them have blanks in front."""
    push = reader().read(APP, request(sample))

    assert (push.type, push.openid, push.revoked, push.time) == (PushType.CONSENT_REVOKED, OPENID, (8,), NOW)


@pytest.mark.parametrize("render", [as_json, as_xml], ids=["json", "xml"])
def test_a_peer_encrypts_what_is_read(render: object) -> None:
    """What wechatpy encrypts and signs is read here, in either format."""
    assert callable(render)
    timestamp, nonce = str(int(NOW.timestamp())), "486452656"
    envelope = WeChatCrypto(TOKEN, AES_KEY, APP.value).encrypt_message(
        render(revocation(OPENID)).decode(), nonce, timestamp
    )
    query = {"timestamp": timestamp, "nonce": nonce, "msg_signature": fields_of(envelope.encode())["MsgSignature"]}
    push = reader(SAFE).read(APP, RawPush(urlencode(query), envelope.encode()))

    assert (push.type, push.openid) == (PushType.CONSENT_REVOKED, OPENID)


def test_a_peer_reads_what_the_sandbox_encrypts() -> None:
    """What the sandbox encrypts and signs, wechatpy reads."""
    encrypted = pushes.encrypt(b"<xml>\xe5\xbe\xae</xml>", AES_KEY, APP.value)
    peer = WeChatCrypto(TOKEN, AES_KEY, APP.value)

    assert peer.decrypt_message({"Encrypt": encrypted}, pushes.sign(TOKEN, "1", "2", encrypted), "1", "2") == (
        "<xml>微</xml>"
    )


@settings(max_examples=50, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=200))
def test_every_length_of_a_message_is_read(text: str) -> None:
    """A message of any length is read, whatever its padding."""
    push = reader(SAFE).read(APP, sealed(as_json(event("wxa_media_check", "o", NOW.timestamp(), text=text))))

    assert push.name == "wxa_media_check"


def test_a_repeat_has_the_same_id() -> None:
    """A repeat has the id of the first push in any mode and format. Another user, time or consent has another."""

    def push(fields: dict[str, object]) -> Push:
        return reader().read(APP, request(as_json(fields)))

    at = NOW.timestamp()
    first = push(revocation(OPENID, 8, at))
    repeat = reader(SAFE).read(APP, sealed(as_xml(revocation(OPENID, 8, at))))
    others = [revocation("o2", 8, at), revocation(OPENID, 6, at), revocation(OPENID, 8, at + 1)]

    assert repeat == first
    assert len({first.id, *(push(each).id for each in others)}) == 4
    assert first.event_id(8) == repeat.event_id(8) != first.event_id(6)


def test_other_events_of_one_second_are_different() -> None:
    """Two events that do not concern users and differ in anything have different ids."""
    ids = {reader().read(APP, request(as_json(event("wxa_media_check", "o", 1, trace_id=each)))).id for each in "ab"}

    assert len(ids) == 2


def test_an_event_without_an_openid_is_about_its_sender() -> None:
    """An event without OpenID is about the FromUserName."""
    fields = {name: text for name, text in revocation("").items() if name not in ("OpenID", "AppID")}

    assert reader().read(APP, request(as_json(fields))).openid == "oPlatform"


@pytest.mark.parametrize("late", [timedelta(minutes=11), timedelta(minutes=-11), timedelta(days=400)], ids=str)
@pytest.mark.parametrize("keys", [PushKeys(TOKEN), SAFE], ids=["plain", "safe"])
def test_a_late_push_is_refused(keys: PushKeys, late: timedelta) -> None:
    """A push that was signed more than ten minutes before or after the present is refused."""
    message = as_json(revocation(OPENID))
    given = sealed(message) if keys.aes_key else request(message)
    with pytest.raises(PushRefused) as refused:
        reader(keys, now=NOW + late).read(APP, given)

    assert reason(refused) == "late"


def forged() -> dict[str, RawPush]:
    """Return requests of someone who has seen pushes and does not know the Token."""
    message = as_json(revocation(OPENID, at=NOW.timestamp()))
    good = dict(pair.split("=") for pair in request(message).query.split("&"))
    other = signed(token="another", at=NOW.timestamp())
    return {
        "none": RawPush("", message),
        "other token": RawPush(urlencode(other), message),
        "other nonce": RawPush(urlencode(good | {"nonce": "2"}), message),
        "other timestamp": RawPush(urlencode(good | {"timestamp": str(int(good["timestamp"]) + 1)}), message),
        "moved digit": RawPush(
            urlencode(good | {"timestamp": good["timestamp"][:-1], "nonce": good["timestamp"][-1] + good["nonce"]}),
            message,
        ),
        "upper case": RawPush(urlencode(good | {"signature": good["signature"].upper()}), message),
        "not ASCII": RawPush(urlencode(good | {"signature": "é" * 40}), message),
        "two signatures": RawPush(f"{urlencode(good)}&signature={good['signature']}", message),
        "two timestamps": RawPush(f"{urlencode(good)}&timestamp=1", message),
        "too many": RawPush("&".join(f"a{number}=1" for number in range(65)), message),
    }


@pytest.mark.parametrize("name", forged())
def test_a_forged_push_is_refused(name: str) -> None:
    """A push without a correct signature is refused."""
    with pytest.raises(PushRefused) as refused:
        reader().read(APP, forged()[name])

    assert reason(refused) in ("signature", "query", "late")


def test_a_plain_push_is_refused_where_encryption_is_set_up() -> None:
    """With an EncodingAESKey, a plain body with a correct signature is refused: the signature does not cover it."""
    for body in (as_json(revocation(OPENID)), as_xml(revocation(OPENID))):
        with pytest.raises(PushRefused) as refused:
            reader(SAFE).read(APP, request(body))

        assert reason(refused) == "plain"


def test_the_clear_part_of_a_compatible_push_is_not_read() -> None:
    """In compatible mode, only the encrypted event counts. The clear one beside it can be forged."""
    encrypted = pushes.encrypt(as_json(revocation(OPENID)), AES_KEY, APP.value)
    body = as_json({**event("user_authorization_cancellation", "oVictim"), "Encrypt": encrypted})
    push = reader(SAFE).read(APP, request(body, encrypted, name="msg_signature"))

    assert (push.type, push.openid) == (PushType.CONSENT_REVOKED, OPENID)


def test_the_signature_of_the_query_does_not_do_for_an_encrypted_push() -> None:
    """An encrypted push needs msg_signature, which covers the ciphertext."""
    given = request(as_json({"Encrypt": pushes.encrypt(as_json(revocation(OPENID)), AES_KEY, APP.value)}))
    with pytest.raises(PushRefused) as refused:
        reader(SAFE).read(APP, given)

    assert reason(refused) == "signature"


def test_an_encrypted_push_is_refused_where_no_key_is_set_up() -> None:
    """Without an EncodingAESKey, an encrypted push is refused, and the log says why."""
    with pytest.raises(PushRefused) as refused:
        reader().read(APP, request(as_json({"ToUserName": "gh_1", "Encrypt": "AAAA"})))

    assert reason(refused) == "encrypted"


def aes(padded: bytes) -> str:
    """Return whole blocks, encrypted."""
    key = b64decode(f"{AES_KEY}=")
    encryptor = Cipher(algorithms.AES256(key), modes.CBC(key[:16])).encryptor()
    return b64encode(encryptor.update(padded) + encryptor.finalize()).decode()


def padded(content: bytes, last: int) -> bytes:
    """Return the content with that padding."""
    return content + bytes([last]) * last


MESSAGE = as_json(revocation(OPENID))
CONTENT = b"r" * 16 + len(MESSAGE).to_bytes(4, "big") + MESSAGE + APP.value.encode()
ROOM = 32 - len(CONTENT) % 32
WRONG = {
    "not base64": "%%%%",
    "no bytes": "",
    "half a block": b64encode(b"x" * 17).decode(),
    "noise": b64encode(bytes(range(64))).decode(),
    "not ASCII": "é" * 44,
    "padding 0": aes(b"\0" * 32),
    "padding beyond a block": aes(b"\x21" * 64),
    "padding of another length": aes(CONTENT + bytes(ROOM - 1) + bytes([ROOM])) if ROOM > 1 else aes(b"\0" * 32),
    "sixteen bytes": aes(padded(b"r" * 16, 16)),
    "length beyond the end": aes(padded(b"r" * 16 + b"\xff" * 4 + b"x" * 10, 2)),
    "other app": pushes.encrypt(MESSAGE, AES_KEY, OTHER.value),
    "longer app": pushes.encrypt(MESSAGE, AES_KEY, f"{APP}0"),
    "no app": pushes.encrypt(MESSAGE, AES_KEY, ""),
    "other key": pushes.encrypt(MESSAGE, OTHER_AES_KEY, APP.value),
    "encrypted noise": pushes.encrypt(b"\xff\xfe", AES_KEY, APP.value),
    "encrypted twice": pushes.encrypt(as_json({"Encrypt": "AAAA"}), AES_KEY, APP.value),
    "event of another app": pushes.encrypt(as_json(revocation(OPENID) | {"AppID": OTHER.value}), AES_KEY, APP.value),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_ciphertext_is_refused(name: str) -> None:
    """What was not encrypted by WeChat for this app is refused, even with a correct signature."""
    with pytest.raises(PushRefused):
        reader(SAFE).read(APP, with_encrypted(WRONG[name]))


BOMB = b"""<?xml version="1.0"?><!DOCTYPE xml [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">
<!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;">]><xml><CreateTime>1</CreateTime><Event>&c;</Event></xml>"""
OUTSIDE = b"""<!DOCTYPE xml [<!ENTITY f SYSTEM "file:///etc/passwd">]><xml><CreateTime>1</CreateTime><Event>&f;</Event></xml>"""
UNREADABLE = {
    "nothing": b"",
    "half XML": SAMPLE_XML[: len(SAMPLE_XML) // 2],
    "half JSON": SAMPLE_JSON[: len(SAMPLE_JSON) // 2],
    "bomb": BOMB,
    "file": OUTSIDE,
    "document type": b"<!DOCTYPE xml><xml><CreateTime>1</CreateTime><Event>x</Event></xml>",
    "unknown entity": b"<xml><CreateTime>1</CreateTime><Event>&x;</Event></xml>",
    "unknown encoding": b'<?xml version="1.0" encoding="klingon"?><xml/>',
    "deep XML": b"<xml>" * 10_000,
    "deep JSON": b'{"a":' * 10_000,
    "deep list": b'{"a":' + b"[" * 60_000,
    "long number": b'{"CreateTime":' + b"9" * 60_000 + b"}",
    "a list": b"[]",
    "a text": b'"event"',
    "null": b"null",
    "not UTF-8": b'{"Event":"\xff"}',
    "half a character": b'{"CreateTime":1,"Event":"x","a":"\\ud800"}',
    "two openids": b'{"CreateTime":1,"Event":"user_info_modified","OpenID":"a","OpenID":"b"}',
    "two openids with a blank": b'{"CreateTime":1,"Event":"user_info_modified","OpenID":"a"," OpenID":"b"}',
    "two openids in XML": b"<xml><CreateTime>1</CreateTime><Event>x</Event><OpenID>a</OpenID><OpenID>b</OpenID></xml>",
    "no time": b'{"Event":"x"}',
    "time as a list": b'{"CreateTime":[1],"Event":"x"}',
    "negative time": b'{"CreateTime":-1,"Event":"x"}',
    "no event": b'{"CreateTime":1}',
    "line in the event": b'{"CreateTime":1,"Event":"x\\n{\\"event\\":\\"forged\\"}"}',
    "openid with blanks": b'{"CreateTime":1,"Event":"user_info_modified","OpenID":"a b"}',
    "openid as a number of objects": b'{"CreateTime":1,"Event":"user_info_modified","OpenID":{"$ne":1}}',
    "other app": as_json(revocation(OPENID) | {"AppID": OTHER.value}),
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_an_unreadable_message_is_refused(name: str) -> None:
    """A message that is incomplete, ambiguous or dangerous is refused, plain and encrypted."""
    with pytest.raises(PushRefused):
        reader().read(APP, request(UNREADABLE[name]))
    with pytest.raises(PushRefused):
        reader(SAFE).read(APP, sealed(UNREADABLE[name]))
    with pytest.raises(PushRefused):
        reader(SAFE).read(APP, request(UNREADABLE[name]))


@given(st.binary(max_size=300))
def test_no_bytes_break_the_reader(body: bytes) -> None:
    """Any bytes are read or refused, and raise nothing else."""
    for keys in (PushKeys(TOKEN), SAFE):
        with pytest.raises(PushRefused):
            reader(keys).read(APP, request(body))


@pytest.mark.parametrize("echo", ["", "a b", "<script>\n", "é", "x" * 257])
def test_an_echo_of_another_form_is_refused(echo: str) -> None:
    """Only printable ASCII is echoed."""
    with pytest.raises(PushRefused):
        reader().read_check(APP, request(b"", echostr=echo))


def test_an_app_without_keys_is_not_found() -> None:
    """An app without a Token has no pushes."""
    with pytest.raises(NotFound):
        reader().read(OTHER, request(MESSAGE))
    with pytest.raises(NotFound):
        reader().read_check(OTHER, request(b""))


def test_keys_and_openids_are_not_printed() -> None:
    """No secret and no openid is in the text of an object."""
    push = reader().read(APP, request(MESSAGE))
    shown = f"{SAFE!r} {push!r} {request(MESSAGE)!r} {json.dumps(str(push))}"

    assert not [each for each in (TOKEN, AES_KEY, OPENID) if each in shown]
