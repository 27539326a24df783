"""What the tests ask of any SDK."""

from abc import ABC, abstractmethod
from typing import Any

Answer = dict[str, Any]


class SdkError(Exception):
    """What an SDK raised, in its own words; `code` is the errcode when it keeps that apart."""

    def __init__(self, message: str, code: int | None = None) -> None:
        super().__init__(message)
        self.code = code


class Sdk(ABC):
    """One SDK for one app. Every method may raise SdkError."""

    appid: str

    @abstractmethod
    def login(self, code: str) -> Answer:
        """Exchange what wx.login() gave."""

    @abstractmethod
    def access_token(self) -> str:
        """The token it would use now."""

    @abstractmethod
    def renew_token(self) -> str:
        """Get another token, as its user may order."""

    @abstractmethod
    def phone(self, code: str) -> Answer:
        """The answer to a phone code."""

    @abstractmethod
    def get(self, path: str, parameters: dict[str, str]) -> Answer:
        """Any call, with the token that the SDK adds."""

    @abstractmethod
    def decrypt(self, session_key: str, iv: str, encrypted_data: str) -> Answer:
        """The client's data, decrypted by the SDK itself."""
