"""`wxlogin doctor`: check this installation."""

from collections.abc import Callable

from domain.errors import StoreUnavailable, WxLoginError
from domain.identity import AppId
from entrypoints.container import Container, open_container, require_migrated
from entrypoints.exposure import exposures
from entrypoints.packages import foreign_owners
from entrypoints.problems import Exit, explained, outcome_of
from entrypoints.settings import Settings, SettingsError, load_settings

Write = Callable[[str], object]


async def examine(write: Write, *, wechat: bool = False) -> Exit:
    """Write one line for each check, and return the exit status. `wechat`: check the credentials with WeChat, too.

    Exposed secrets are warnings and do not change the status, because a private network may be trusted.
    """
    for package, others in foreign_owners().items():
        clash = f"{package} is also a package of {', '.join(others)}\n  hint: give wxlogin an environment of its own"
        write(f"{'warn':<5} {'packages':<14} {clash}\n")
    try:
        settings = load_settings().require_app()
        async with open_container(settings) as container:
            apps = ", ".join(sorted(map(str, settings.platforms)))
            _report(write, "settings", None, Exit.DONE, f"apps {apps}; WeChat at {settings.wechat_url}")
            for check, exposed in exposures(settings):
                write(f"{'warn':<5} {check:<14} {exposed}\n")
            status = await _examine_stores(settings, container, write)
            return max(status, await _examine_wechat(settings, container, write)) if wechat else status
    except SettingsError as error:
        return _report(write, "settings", str(error), Exit.MISCONFIGURED)


async def _examine_stores(settings: Settings, container: Container, write: Write) -> Exit:
    schema = await _examine_schema(container, write)
    answers = await container.readiness()()
    if schema is Exit.MISCONFIGURED:
        del answers["database"]  # it answers, but has nothing to say yet
    technology = container.session_technology()
    places = {
        "database": (settings.database_url.get_secret_value().partition("+")[0], "WXLOGIN_DATABASE_URL"),
        "session store": (technology, f"WXLOGIN_{technology.upper()}_URL"),
    }
    return max([schema, *(_report_store(write, name, *places[name], wrong) for name, wrong in answers.items())])


async def _examine_schema(container: Container, write: Write) -> Exit:
    try:
        await require_migrated(container)
    except SettingsError as error:
        return _report(write, "schema", str(error), Exit.MISCONFIGURED)
    except StoreUnavailable as error:
        return _report(write, "schema", f"{explained(error)}\n  hint: WXLOGIN_DATABASE_URL, or the server", Exit.LATER)
    return _report(write, "schema", None, Exit.DONE, "newest")


async def _examine_wechat(settings: Settings, container: Container, write: Write) -> Exit:
    return max(
        [await _examine_app(appid, container, write) for appid in settings.secrets_of("wechat")], default=Exit.DONE
    )


async def _examine_app(appid: AppId, container: Container, write: Write) -> Exit:
    proven = "appid, AppSecret and this server's address"
    try:
        await container.access_tokens().prove(appid)
        if appid in container.signers():
            await container.platform().encrypted_at("wxlogin doctor", appid)  # the one signed call that changes nothing
            proven = "appid, AppSecret, this server's address and the signing keys"
    except WxLoginError as error:
        return _report(write, f"WeChat {appid}", explained(error), outcome_of(error).exit)
    return _report(write, f"WeChat {appid}", None, Exit.DONE, f"{proven} are right")


def _report_store(write: Write, name: str, place: str, setting: str, wrong: str | None) -> Exit:
    if wrong:
        return _report(write, name, f"{wrong}\n  hint: {setting}, or the server", Exit.LATER)
    return _report(write, name, None, Exit.DONE, f"{place} answers")


def _report(write: Write, check: str, wrong: str | None, status: Exit, remark: str = "answers") -> Exit:
    write(f"{'FAIL' if wrong else 'ok':<5} {check:<14} {wrong or remark}\n")
    return status
