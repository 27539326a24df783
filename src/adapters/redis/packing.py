"""Texts in fewer bytes: what is hex, base64 or an address in them is stored as the bytes that it stands for."""

import socket
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import b2a_base64
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import uuid_utils


class Form(NamedTuple):
    """How texts of one kind become bytes, always as many, and texts again. `pack` may raise ValueError and OSError."""

    code: int
    size: int
    pack: Callable[[str], bytes]
    unpack: Callable[[bytes], str]

    def packed(self, text: str) -> bytes | None:
        """The bytes of a text, or None for one that would come back as another."""
        try:
            packed = self.pack(text)
        except (ValueError, OSError):
            return None
        return packed if len(packed) == self.size and self.unpack(packed) == text else None


def _address(code: int, size: int, family: socket.AddressFamily) -> Form:
    return Form(code, size, partial(socket.inet_pton, family), partial(socket.inet_ntop, family))


UUID = Form(0, 16, lambda text: uuid_utils.UUID(text).bytes, lambda packed: str(uuid_utils.UUID(bytes=packed)))
APPID = Form(1, 8, lambda text: bytes.fromhex(text[2:]), lambda packed: f"wx{packed.hex()}")
OPENID = Form(2, 21, urlsafe_b64decode, lambda packed: urlsafe_b64encode(packed).decode())
IPV4 = _address(3, 4, socket.AF_INET)
IPV6 = _address(4, 16, socket.AF_INET6)

FORMS = (UUID, APPID, OPENID, IPV4, IPV6)
"""By code. A code may never change: what rests was written so."""

ABSENT, AS_IT_IS = 255, 254
LENGTH = 2


def pack(text: str | None, *forms: Form) -> bytes:
    """A byte that says how, and the text: in the first of the forms that fits, or in UTF-8 behind its length."""
    if text is None:
        return bytes((ABSENT,))
    for form in forms:
        if (packed := form.packed(text)) is not None:
            return bytes((form.code,)) + packed
    plain = text.encode()
    return bytes((AS_IT_IS,)) + len(plain).to_bytes(LENGTH, "big") + plain


def unpack(stored: bytes, at: int, count: int) -> tuple[list[Any], int]:
    """So many texts that were packed there, and where they end."""
    texts: list[str | None] = []
    for _ in range(count):
        how, at = stored[at], at + 1
        if how == ABSENT:
            texts.append(None)
            continue
        if how == AS_IT_IS:
            ends = at + LENGTH + int.from_bytes(stored[at : at + LENGTH], "big")
            texts.append(stored[at + LENGTH : ends].decode())
        else:
            _, size, _, form = FORMS[how]
            ends = at + size
            texts.append(form(stored[at:ends]))
        at = ends
    return texts, at


def short(raw: bytes) -> str:
    """Bytes as a part of a key's name: base64, of 16 bytes 22 characters."""
    return b2a_base64(raw, newline=False).decode().rstrip("=")
