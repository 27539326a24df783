"""wechatpy: https://docs.wechatpy.org."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from wechatpy import WeChatClient, WeChatException
from wechatpy.client.api import WeChatWxa
from wechatpy.crypto import WeChatWxaCrypto
from wechatpy.utils import check_wxa_signature

from support.sdks.sdk import Answer, Sdk, SdkError


def client_at(url: str, appid: str, secret: str) -> WeChatClient:
    """Return a client of that address, by the overrides that wechatpy's own clients use."""

    class Wxa(WeChatWxa):  # type: ignore[misc]  # wechatpy has no types
        API_BASE_URL = f"{url}/"

    class Client(WeChatClient):  # type: ignore[misc]
        API_BASE_URL = f"{url}/cgi-bin/"
        wxa = Wxa()

        def fetch_access_token(self) -> dict[str, Any]:
            parameters = {"grant_type": "client_credential", "appid": self.appid, "secret": self.secret}
            return dict(self._fetch_access_token(f"{url}/cgi-bin/token", parameters))

    return Client(appid, secret)


class Wechatpy(Sdk):
    """wechatpy in this process."""

    def __init__(self, url: str, appid: str, secret: str) -> None:
        self.appid = appid
        self._url = url
        self.client = client_at(url, appid, secret)

    def login(self, code: str) -> Answer:
        """See Sdk."""
        with _translated():
            return dict(self.client.wxa.code_to_session(code))

    def access_token(self) -> str:
        """See Sdk."""
        with _translated():
            return str(self.client.access_token)

    def renew_token(self) -> str:
        """See Sdk."""
        with _translated():
            return str(self.client.fetch_access_token()["access_token"])

    def phone(self, code: str) -> Answer:
        """See Sdk."""
        with _translated():
            return dict(self.client.wxa.get_phone_number(code))

    def get(self, path: str, parameters: dict[str, str]) -> Answer:
        """See Sdk."""
        with _translated():
            return dict(self.client.get(f"{self._url}/{path}", params=dict(parameters)))

    def decrypt(self, session_key: str, iv: str, encrypted_data: str) -> Answer:
        """See Sdk."""
        with _translated():
            return dict(WeChatWxaCrypto(session_key, iv, self.appid).decrypt_message(encrypted_data))

    def verify(self, raw_data: str, signature: str, session_key: str) -> None:
        """Check rawData against its signature."""
        with _translated():
            check_wxa_signature(session_key, raw_data, signature)


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except WeChatException as error:
        raise SdkError(str(error), error.errcode) from error
    except ValueError as error:  # not JSON, or not UTF-8
        raise SdkError(str(error)) from error
