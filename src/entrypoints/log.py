"""Structured logging: one line for each event, on stderr."""

import logging
import sys

import structlog

from application.login import LoggedIn
from application.login_with_phone import LoginWithPhoneRequest
from domain.errors import RateLimited, WxLoginError
from domain.session import Session
from entrypoints.problems import outcome_of
from entrypoints.settings import Settings

log: structlog.stdlib.BoundLogger = structlog.get_logger()


def _without_unknown(_logger: object, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Remove the fields without a value."""
    return {name: value for name, value in event.items() if value is not None}


def configure_logging(settings: Settings) -> None:
    """Configure logging by the settings. Libraries log in the same format, from WARNING on."""
    console = settings.log_format == "console" or (settings.log_format is None and sys.stderr.isatty())
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        _without_unknown,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    render: list[structlog.typing.Processor] = (
        [structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)]
        if console
        else [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(ensure_ascii=False)]
    )
    structlog.configure(
        processors=[*shared, *render],
        wrapper_class=structlog.make_filtering_bound_logger(settings.log_level),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,  # a reload may change the level
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *render],
            foreign_pre_chain=shared,
        )
    )
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)


def log_session(event: str, session: Session, **known: object) -> None:
    """Log an event of a session."""
    log.info(event, appid=session.identity.appid.value, user_id=session.user_id, session_id=session.id, **known)


def log_phone(request: LoginWithPhoneRequest, login: LoggedIn, where: str) -> None:
    """Log whether the phone number of a login was bound, if the login brought a code for it."""
    if login.phone_error:
        log_error(login.phone_error, where, event="phone_failed", ip=login.session.device.ip, session=login.session)
    elif request.phone_code is not None:
        log_session("phone_bound", login.session, ip=login.session.device.ip)


def log_error(
    error: WxLoginError,
    where: str,
    *,
    event: str | None = None,
    ip: str | None = None,
    session: Session | None = None,
) -> None:
    """Log an error: at `error` if the operator has to act, at `debug` if it is part of normal operation.

    The event is the error's code, or `event` if given; `limit_met` for a limit of this service.
    """
    status = outcome_of(error).http
    tell = log.error if status >= 500 else log.debug if status in (401, 404) else log.info
    limit = error.allowance.limit.name if isinstance(error, RateLimited) and error.allowance else None
    name = "limit_met" if limit else event or error.code
    cause = None if isinstance(error.__cause__, BaseExceptionGroup) else error.__cause__  # a group is Litestar's
    tell(
        name,
        where=where,
        code=error.code if name == event else None,
        detail=error.detail,
        limit=limit,
        ip=ip,
        appid=session.identity.appid.value if session else error.appid,
        user_id=session.user_id if session else error.user_id,
        errcode=error.errcode,
        rid=error.rid,
        cause=cause and str(cause)[:200],
    )


def log_failed_login(error: WxLoginError, where: str, ip: str | None = None) -> None:
    """Log a failed login."""
    log_error(error, where, event="login_failed", ip=ip)
