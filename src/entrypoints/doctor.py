"""`wxlogin doctor`: what is wrong with this installation, and what mends it."""

from collections.abc import Callable

from domain.errors import StoreUnavailable
from entrypoints.container import open_container, require_migrated
from entrypoints.problems import Exit
from entrypoints.settings import Settings, SettingsError, load_settings

Write = Callable[[str], object]


async def examine(write: Write) -> Exit:
    """Write one line a check, and say with which status to exit."""
    try:
        settings = load_settings().require_app()
        settings.cipher  # noqa: B018  # raises when there is no key
    except SettingsError as error:
        return _report(write, "settings", str(error), Exit.MISCONFIGURED)
    apps = ", ".join(sorted(map(str, settings.credentials)))
    status = _report(write, "settings", None, Exit.DONE, f"apps {apps}; WeChat at {settings.wechat_url}")
    schema = await _examine_schema(settings, write)
    return max(status, schema, await _examine_stores(settings, write, without_tables=schema is Exit.MISCONFIGURED))


async def _examine_schema(settings: Settings, write: Write) -> Exit:
    try:
        await require_migrated(settings)
    except SettingsError as error:
        return _report(write, "schema", str(error), Exit.MISCONFIGURED)
    except StoreUnavailable as error:
        return _report(write, "schema", f"{error.detail}\n  mend it: WXLOGIN_DATABASE_URL, or the server", Exit.LATER)
    return _report(write, "schema", None, Exit.DONE, "newest")


async def _examine_stores(settings: Settings, write: Write, *, without_tables: bool) -> Exit:
    async with open_container(settings) as container:
        answers = await container.readiness()()
    if without_tables:
        del answers["database"]  # it answers, but has nothing to say yet
    return max((_report_store(write, name, wrong) for name, wrong in answers.items()), default=Exit.DONE)


def _report_store(write: Write, name: str, wrong: str | None) -> Exit:
    mend = {"database": "WXLOGIN_DATABASE_URL", "session store": "WXLOGIN_REDIS_URL"}[name]
    if wrong:
        return _report(write, name, f"{wrong}\n  mend it: {mend}, or the server", Exit.LATER)
    return _report(write, name, None, Exit.DONE)


def _report(write: Write, check: str, wrong: str | None, status: Exit, remark: str = "answers") -> Exit:
    write(f"{'FAIL' if wrong else 'ok':<5} {check:<14} {wrong or remark}\n")
    return status
