"""The Chinese texts of POST /login/."""

import pytest

from adapters.wechat.errcodes import UserBlockedByWeChat, WeChatBadResponse, WeChatUnavailable
from domain.errors import (
    IdentityProviderBadResponse,
    IdentityProviderUnavailable,
    StoreUnavailable,
    UserBlockedByProvider,
    WxLoginError,
)
from entrypoints.http.login import MESSAGES, message_of


class OtherUnavailable(IdentityProviderUnavailable):
    """Another platform does not answer."""

    provider = "Other"


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (WeChatUnavailable, "微信服务暂时不可用，请重新登录"),
        (WeChatBadResponse, "微信服务返回异常，请重新登录"),
        (UserBlockedByWeChat, "该用户已被微信限制登录"),
    ],
)
def test_errors_of_wechat_name_wechat(error: type[WxLoginError], message: str) -> None:
    """The text of an error of WeChat is the one that clients of the article know."""
    assert message_of(error()) == message


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OtherUnavailable, "登录平台服务暂时不可用，请重新登录"),
        (IdentityProviderBadResponse, "登录平台服务返回异常，请重新登录"),
        (UserBlockedByProvider, "该用户已被登录平台限制登录"),
        (StoreUnavailable, "服务暂时不可用，请重新登录"),
    ],
)
def test_errors_of_another_platform_do_not_name_wechat(error: type[WxLoginError], message: str) -> None:
    """The text of an error of another platform has no name that its users would not expect."""
    assert message_of(error()) == message


@pytest.mark.parametrize("kind", MESSAGES)
def test_only_errors_of_wechat_name_wechat(kind: type[WxLoginError]) -> None:
    """No text names WeChat unless an adapter of WeChat raised the error."""
    assert "微信" not in message_of(kind())
