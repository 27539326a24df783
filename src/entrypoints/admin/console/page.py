"""Pages of the console: templates, languages, themes, and security headers."""

import hashlib
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import lru_cache
from importlib.resources import files
from typing import Any, NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined
from litestar import MediaType, Response
from litestar.datastructures import Cookie
from litestar.response import Redirect
from markupsafe import Markup

from domain.admin import Scope
from domain.user import User
from entrypoints.admin.console.access import CSRF_FIELD, HOME, AnyRequest, is_secure
from entrypoints.admin.console.session import SignedIn
from entrypoints.admin.console.texts import TEXTS, Language, error_hint, error_title, event_title, text
from entrypoints.http.raw import NO_STORE

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self';"
    " form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
"""Pages have no inline scripts or styles, and load nothing from other hosts."""

HEADERS = {
    "content-security-policy": POLICY,
    "x-frame-options": "DENY",
    "cross-origin-opener-policy": "same-origin",
    **NO_STORE,
}

STATIC = {"console.css": "text/css", "console.js": "text/javascript", "icon.svg": "image/svg+xml"}

LANGUAGE_COOKIE = "wxlogin-console-language"

THEME_COOKIE = "wxlogin-console-theme"

DONE_COOKIE = "wxlogin-console-done"
"""The result of the last action: the key of a text and a number, for the next page."""

LANGUAGES: dict[str, Language] = {"en": "en", "zh": "zh"}

THEMES = ("auto", "light", "dark")

YEAR_SECONDS = 365 * 24 * 3600

LOCAL = re.compile(r"(?!.*\.\.)/admin/(?!v1/)[A-Za-z0-9/_.?=&%:+@-]*")


class Done(NamedTuple):
    """The result of an action, which the next page shows."""

    text: str
    number: int = 0


@lru_cache
def static_file(name: str) -> tuple[bytes, str]:
    """Return a file of the console, and a version that changes with it. Raises KeyError if there is none."""
    if name not in STATIC:
        raise KeyError(name)
    body = files("entrypoints.admin.console").joinpath("static", name).read_bytes()
    return body, hashlib.sha256(body).hexdigest()[:12]


@lru_cache
def templates() -> Environment:
    """Return the templates, which escape each value."""
    environment = Environment(
        loader=PackageLoader("entrypoints.admin.console"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"when": when, "masked": masked, "title_of": title_of}
    environment.globals |= {"asset": asset, "Scope": Scope, "csrf_field": CSRF_FIELD, "themes": THEMES}
    return environment


def asset(name: str) -> str:
    """Return the address of a file of the console."""
    return f"{HOME}static/{name}?v={static_file(name)[1]}"


def when(time: datetime) -> Markup:
    """Return the time in UTC, which the script turns into that of the reader's zone."""
    utc = time.astimezone(UTC)
    return Markup('<time datetime="{}Z">{} UTC</time>').format(
        utc.replace(tzinfo=None).isoformat(timespec="milliseconds"), f"{utc:%Y-%m-%d %H:%M:%S}"
    )


def masked(phone: str) -> str:
    """Return a phone number without its middle: 138****0000. A number of China is shown without its country code."""
    digits = phone.removeprefix("+86") if re.fullmatch(r"\+861\d{10}", phone) else phone
    return f"{digits[:3]}****{digits[-4:]}" if len(digits) > 9 else f"{digits[:2]}****{digits[-2:]}"


def title_of(user: User) -> str:
    """Return the name of a user, or else the end of their id, which differs between users."""
    return user.profile.name.strip() or f"…{user.id[-12:]}"


def language_of(request: AnyRequest) -> Language:
    """Return the language that the reader chose, or else the first of Accept-Language that the console has."""
    chosen = LANGUAGES.get(request.cookies.get(LANGUAGE_COOKIE, ""))
    return chosen or _preferred(request.headers.getall("accept-language", []))


def _preferred(headers: Iterable[str]) -> Language:
    ranked: list[tuple[float, Language]] = []
    for entry in ",".join(headers).split(","):
        name, _, weight = entry.strip().partition(";")
        quality = re.fullmatch(r"\s*q=(1(?:\.0*)?|0(?:\.\d*)?)\s*", weight)
        if (known := LANGUAGES.get(name.lower().split("-")[0])) is not None:
            ranked.append((float(quality[1]) if quality else 1.0, known))
    return max(ranked, key=lambda each: each[0])[1] if ranked else "en"


def theme_of(request: AnyRequest) -> str:
    """Return the theme that the reader chose; `auto` follows the system."""
    chosen = request.cookies.get(THEME_COOKIE, "")
    return chosen if chosen in THEMES else "auto"


def local_path(path: str) -> str:
    """Return the path if it is one of the console, or else that of its first page."""
    return path if LOCAL.fullmatch(path) else HOME


def render(request: AnyRequest, template: str, status: int = 200, **values: Any) -> Response[str]:
    """Return a page."""
    language = language_of(request)
    signed_in: SignedIn | None = request.state.get("signed_in")
    scope = request.scope
    query = scope["query_string"].decode("latin-1")
    here = (f"{scope['path']}?{query}" if query else scope["path"]) if scope["method"] == "GET" else HOME

    def t(key: str, **numbers: object) -> str:
        return text(language, key, **numbers)

    def can(needed: Scope) -> bool:
        return signed_in is not None and needed in signed_in.admin.scopes

    html = (
        templates()
        .get_template(template)
        .render(
            t=t,
            error_title=lambda code: error_title(language, code),
            error_hint=lambda code: error_hint(language, code),
            event_title=lambda event: event_title(language, event.type),
            language=language,
            theme=theme_of(request),
            signed_in=signed_in,
            can=can,
            here=local_path(here),
            done=_done(request) if template != "rows.html" else None,
            **values,
        )
    )
    response = Response(html, status_code=status, media_type=MediaType.HTML, headers=HEADERS)
    if DONE_COOKIE in request.cookies and template != "rows.html":
        response.delete_cookie(DONE_COOKIE, path=HOME)
    return response


def _done(request: AnyRequest) -> Done | None:
    known = re.fullmatch(r"(done_[a-z_]{1,40})\.(\d{1,9})", request.cookies.get(DONE_COOKIE, ""))
    return Done(known[1], int(known[2])) if known and known[1] in TEXTS else None


def redirect(request: AnyRequest, path: str, done: Done | None = None) -> Response[Any]:
    """Return a redirection to a page after a change. The page says what was done."""
    response = Redirect(path, status_code=303)
    if done:
        secure = is_secure(request.scope)
        value = f"{done.text}.{done.number}"
        response.set_cookie(
            Cookie(DONE_COOKIE, value=value, max_age=60, path=HOME, secure=secure, httponly=True, samesite="strict")
        )
    return response
