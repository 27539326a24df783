"""Third-party SDKs as published, connected to the sandbox by their public options."""

from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import TemporaryDirectory

from support.sdks.node import node_sdk
from support.sdks.python import Wechatpy
from support.sdks.sdk import Sdk

WECHATPY = "wechatpy"
EASYWECHAT = "node-easywechat"
EASYWECHAT_STABLE = "node-easywechat with stable tokens"
CO_WECHAT_API = "co-wechat-api"


@contextmanager
def open_sdk(name: str, url: str, appid: str, secret: str) -> Iterator[Sdk]:
    """Open the SDK of that name, without a token, for one app at that address."""
    if name == WECHATPY:
        yield Wechatpy(url, appid, secret)
        return
    script = name.split()[0]
    with TemporaryDirectory(prefix="wxlogin-sdk-") as cache:
        options = {"url": url, "secret": secret, "cache": cache, "stable": name == EASYWECHAT_STABLE}
        with node_sdk(f"{script}.cjs", appid, options) as sdk:
            yield sdk
