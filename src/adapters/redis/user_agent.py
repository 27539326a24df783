"""User agents at rest: WeChat's have 200 to 300 characters, all much the same."""

import zlib

USUAL = (
    b"Mozilla/5.0 (Windows NT 10.0; Win64; x64) Gecko/20100101 Firefox/133.0 Safari/537.36 WindowsWechat(0x63090c11) "
    b"XWEB/11581 Flue Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) MacWechat/3.8.7(0x13080712) UnifiedPCMacWechat "
    b"iPad; CPU OS 17_5 Mozilla/5.0 (iPhone; CPU iPhone OS 18_1_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like "
    b"Gecko) Mobile/15E148 MicroMessenger/8.0.54(0x18003630) NetType/4G 5G Language/en zh_TW zh_CN miniProgram/wx "
    b"wechatdevtools/1.06.2409140 port/ token/ HuaweiBrowser HONOR OPPO vivo V2309A Redmi Xiaomi HarmonyOS ARM32 "
    b"Mozilla/5.0 (Linux; Android 14; 23127PN0CC Build/UKQ1.230804.001; wv) AppleWebKit/537.36 (KHTML, like Gecko) "
    b"Version/4.0 Chrome/130.0.6723.103 Mobile Safari/537.36 XWEB/1300333 MMWEBSDK/20241202 MMWEBID/5071 "
    b"MicroMessenger/8.0.56.2800(0x28003853) WeChat/arm64 Weixin NetType/WIFI Language/zh_CN ABI/arm64 "
    b"MiniProgramEnv/android"
)
"""What they are made of, the most frequent last. It may never change: what rests was written with it."""


def pack(user_agent: str) -> bytes:
    """A third of it or less, if it is WeChat's; takes 12 us, most of which a larger window would cost again."""
    packer = zlib.compressobj(level=6, wbits=-11, memLevel=2, zdict=USUAL)
    return packer.compress(user_agent.encode()) + packer.flush()


def unpack(packed: bytes) -> str:
    """The same again."""
    return zlib.decompressobj(wbits=-11, zdict=USUAL).decompress(packed).decode()
