"""WeChat's calls by path: which method they want, and what they make of a request."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from entrypoints.sandbox.errors import WeChatError
from entrypoints.sandbox.wechat import WeChat

WRONG_METHOD = {"GET": 43001, "POST": 43002}


class Endpoint(NamedTuple):
    """One of WeChat's calls: `answer` gives the body of a success or raises WeChatError."""

    method: str
    answer: Callable[[WeChat, Mapping[str, str]], dict[str, str]]

    def __call__(self, wechat: WeChat, method: str, query: Mapping[str, str]) -> dict[str, str]:
        """The body of a success. Raises WeChatError, 43001 or 43002 for the wrong method."""
        if method != self.method:
            raise WeChatError(WRONG_METHOD[self.method])
        return self.answer(wechat, query)


def code2session(wechat: WeChat, query: Mapping[str, str]) -> dict[str, str]:
    """Login: https://developers.weixin.qq.com/miniprogram/dev/OpenApiDoc/user-login/code2Session.html."""
    return wechat.code2session(
        appid=query.get("appid", ""),
        secret=query.get("secret", ""),
        js_code=query.get("js_code", ""),
        grant_type=query.get("grant_type", ""),
    )


ENDPOINTS: Mapping[str, Endpoint] = {"/sns/jscode2session": Endpoint("GET", code2session)}
