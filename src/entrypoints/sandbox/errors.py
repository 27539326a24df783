"""What the sandbox refuses, by who is told.

Exception
├── WeChatError      the caller of WeChat is told, in WeChat's words
├── TooLargeError    the caller of WeChat is told, by what stands before WeChat
└── MisuseError      the user of the sandbox's own controls is told, in ours
"""


class WeChatError(Exception):
    """WeChat refuses this call with `errcode`."""

    def __init__(self, errcode: int) -> None:
        super().__init__(errcode)
        self.errcode = errcode


class TooLargeError(Exception):
    """The body of a call is larger than any that WeChat is sent here."""


class MisuseError(ValueError):
    """A control was asked for something it cannot do; the message says what it can."""


def require(satisfied: object, errcode: int) -> None:
    """Raise WeChatError with `errcode` unless `satisfied` is true."""
    if not satisfied:
        raise WeChatError(errcode)
