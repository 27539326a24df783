"""The errors of the sandbox, by their receiver.

Exception
├── WeChatError     sent to the caller of WeChat, in WeChat's format
├── BodyTooLarge    sent to the caller of WeChat, by the proxy in front of it
└── ControlRefused  sent to the user of the controls, as a problem
"""


class WeChatError(Exception):
    """WeChat refuses this call with `errcode`."""

    def __init__(self, errcode: int) -> None:
        super().__init__(errcode)
        self.errcode = errcode


class BodyTooLarge(Exception):
    """The body of a call is too large."""


class ControlRefused(ValueError):
    """A control cannot do this. The message says what it can do."""


def require(satisfied: object, errcode: int) -> None:
    """Raise WeChatError with `errcode` unless `satisfied` is true."""
    if not satisfied:
        raise WeChatError(errcode)
