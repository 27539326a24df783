"""Log in, and bind a phone number in the same call."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta

from application.login import NO_CONTEXT, LoggedIn, LoginContext, LoginRequest
from application.users import Users
from domain.errors import IdentityProviderUnavailable, WxLoginError
from domain.event import Cause

Login = Callable[[LoginRequest, LoginContext], Awaitable[LoggedIn]]
"""LoginUseCase, or a wrapper of it."""


@dataclass(frozen=True, slots=True)
class LoginWithPhoneRequest(LoginRequest):
    """A login, and if `phone_code` is there, the code of the phone button's getPhoneNumber event."""

    phone_code: str | None = field(default=None, repr=False)


class LoginWithPhone:
    """Turn a login code into a session, and a phone code into the user's phone number.

    - The login comes first. If it is refused, the phone code is not spent.
    - A phone number that cannot be bound fails nothing else: the login succeeds, and has the error.
    - The phone takes `limit` at most. After that, whether it is bound is unknown, and the error asks for a new code.

    Raises what LoginUseCase raises.
    """

    def __init__(self, login: Login, users: Users, *, limit: timedelta) -> None:
        self._login = login
        self._users = users
        self._limit = limit

    async def __call__(self, request: LoginWithPhoneRequest, context: LoginContext = NO_CONTEXT) -> LoggedIn:
        """Log in with `request.code`, and bind the number behind `request.phone_code`."""
        logged_in = await self._login(request, context)
        if request.phone_code is None:
            return logged_in
        try:
            async with asyncio.timeout(self._limit.total_seconds()):
                cause = Cause.user(context.device.ip)
                user = await self._users.bind_phone(logged_in.session, request.phone_code, cause)
        except TimeoutError:
            late = IdentityProviderUnavailable("The phone number took too long").asking_for_new_code()
            return replace(logged_in, phone_error=late)
        except WxLoginError as error:
            return replace(logged_in, phone_error=error)
        return replace(logged_in, user=user)
