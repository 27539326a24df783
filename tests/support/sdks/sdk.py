"""The functions that the tests use of each SDK."""

from abc import ABC, abstractmethod
from typing import Any

Answer = dict[str, Any]


class SdkError(Exception):
    """An error of an SDK, with its own text; `code` is the errcode when the SDK provides it separately."""

    def __init__(self, message: str, code: int | None = None) -> None:
        super().__init__(message)
        self.code = code


class Sdk(ABC):
    """One SDK for one app. Every method may raise SdkError."""

    appid: str

    @abstractmethod
    def login(self, code: str) -> Answer:
        """Exchange the code of wx.login()."""

    @abstractmethod
    def access_token(self) -> str:
        """Return the token that the SDK would use now."""

    @abstractmethod
    def renew_token(self) -> str:
        """Get another token, as a caller may request."""

    @abstractmethod
    def phone(self, code: str) -> Answer:
        """Return the answer to a phone code."""

    @abstractmethod
    def get(self, path: str, parameters: dict[str, str]) -> Answer:
        """Send a GET request, with the token that the SDK adds."""

    @abstractmethod
    def decrypt(self, session_key: str, iv: str, encrypted_data: str) -> Answer:
        """Return the client's data, decrypted by the SDK."""
