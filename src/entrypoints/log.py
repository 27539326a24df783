"""What is logged, and how: one line an event, on stderr."""

import logging
import sys

import structlog

from application.login import LoggedIn
from domain.errors import WxLoginError
from entrypoints.problems import outcome_of
from entrypoints.settings import Settings

log: structlog.stdlib.BoundLogger = structlog.get_logger()


def configure_logging(settings: Settings) -> None:
    """Log as the settings say; what libraries log goes the same way, from WARNING on."""
    console = settings.log_format == "console" or (settings.log_format is None and sys.stderr.isatty())
    shared: list[structlog.typing.Processor] = [
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


def log_login(login: LoggedIn) -> None:
    """Who logged in."""
    log.info(
        "login",
        appid=login.session.identity.appid.value,
        user_id=login.user.id,
        session_id=login.session.id,
        is_new=login.is_new,
    )


def log_error(error: WxLoginError, where: str) -> None:
    """What went wrong: loud when the operator has to know, a whisper when it is everyday (no token, no such path)."""
    status = outcome_of(error).http
    tell = log.error if status >= 500 else log.debug if status in (401, 404) else log.info
    facts = {
        "errcode": error.errcode,
        "rid": error.rid,
        "cause": error.__cause__ and str(error.__cause__)[:200],
    }
    known = {name: fact for name, fact in facts.items() if fact is not None}
    tell(error.code, where=where, detail=error.detail, **known)
