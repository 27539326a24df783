"""User agents at rest: WeChat's have 170 to 320 characters, all much the same; most of what differs is digits."""

import re
from codecs import charmap_decode

PHRASES = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS ",
    "Mozilla/5.0 (iPad; CPU OS ",
    "Mozilla/5.0 (Linux; Android ",
    "Mozilla/5.0 (Windows NT 10.0; ",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7",
    "Mozilla/5.0 (",
    "; ",
    "WOW64",
    " like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148 MicroMessenger/8.0.",
    " like Mac OS X",
    ") AppleWebKit/605.1.15 (KHTML, like Gecko) ",
    ") AppleWebKit/537.36 (KHTML, like Gecko) Chrome/",
    ") AppleWebKit/537.36 (KHTML, like Gecko) ",
    "; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/",
    ".0.",
    ".0.0.0 Mobile Safari/537.36 XWEB/",
    " Mobile Safari/537.36 XWEB/",
    " Mobile Safari/537.36",
    ".0.0.0 Safari/537.36",
    " Safari/537.36",
    "Mobile/15E148",
    "Version/",
    " Chrome/",
    " XWEB/",
    " MMWEBSDK/20",
    " MMWEBID/",
    " MicroMessenger/8.0.",
    " MicroMessenger/7.0.",
    " MicroMessenger/",
    "(0x1800",
    "(0x2800",
    "(0x",
    ") NetType/WIFI Language/zh_CN",
    ") NetType/4G Language/zh_CN",
    ") NetType/5G Language/zh_CN",
    ") WeChat/arm64 Weixin NetType/WIFI Language/zh_CN ABI/arm64 MiniProgramEnv/android",
    ") WeChat/arm64 Weixin NetType/4G Language/zh_CN ABI/arm64 MiniProgramEnv/android",
    ") WeChat/arm64 Weixin NetType/5G Language/zh_CN ABI/arm64 MiniProgramEnv/android",
    ") WeChat/arm64 Weixin",
    ") WeChat/arm32 Weixin",
    " NetType/",
    "WIFI",
    " Language/",
    "zh_",
    " ABI/arm",
    " MiniProgramEnv/",
    "android",
    "Windows WindowsWechat",
    "Mac MacWechat",
    " wechatdevtools/1.06.",
    " Build/",
    " Build/QP1A.190711.020",
    " Build/RP1A.200720.01",
    " Build/SP1A.210812.0",
    " Build/TP1A.220624.014",
    " Build/UP1A.231005.007",
    " Build/AP3A.240905.015",
    " Build/TKQ1.22",
    " Build/UKQ1.23",
    "HUAWEI",
)
"""What they are made of. None may ever change or move, and none can be added: what rests was written with these."""

DIGITS = tuple(f"{number:02}" for number in range(100))
CHARACTERS = tuple(map(chr, range(0x20, 0x7F)))
PART_OF = dict(enumerate((*DIGITS, *CHARACTERS, *PHRASES)))
CODE_OF = {part: code for code, part in PART_OF.items()}
PART = re.compile("[0-9][0-9]|" + "|".join(map(re.escape, sorted(PHRASES, key=len, reverse=True))) + "|[ -~]")
AS_IT_IS = b"\xff"


def pack(user_agent: str) -> bytes:
    """A byte for each part, the longest first: two digits, a phrase, a character. A seventh of it, if WeChat's."""
    parts = PART.findall(user_agent)
    if parts and "".join(parts) == user_agent:
        return bytes(map(CODE_OF.__getitem__, parts))
    return AS_IT_IS + user_agent.encode()


def unpack(packed: bytes) -> str:
    """The same again."""
    if packed.startswith(AS_IT_IS):
        return packed[1:].decode()
    return charmap_decode(packed, "strict", PART_OF)[0]
