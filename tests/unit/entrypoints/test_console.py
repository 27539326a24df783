"""The console's texts, and how it reads what operators type."""

import re
from importlib.resources import files

import pytest

from domain.event import EventType
from domain.user import MERGED_FIELDS
from domain.user_query import UserQuery
from entrypoints.admin.console.page import local_path, masked
from entrypoints.admin.console.texts import ERROR_HINTS, ERROR_TITLES, TEXTS, errcodes_in_chinese, text
from entrypoints.admin.console.users import queries_for
from entrypoints.container import wechat_errcodes
from support.pages import ROOT, table

USED = r"""(?:\bt\(|reason_field\(t, |Done\(|wrong=\(?|said=)\s*['"]([a-z0-9_]+)['"]"""

DYNAMIC = {
    *(kind.value for kind in EventType),
    *MERGED_FIELDS,
    *(f"nav_{name}" for name in ("users", "conflicts", "failures", "live", "audit")),
    *(f"theme_{name}" for name in ("auto", "light", "dark")),
    *(f"retry_{name}" for name in ("never", "later", "new_code")),
    *("error_scope", "error_missing", "error_store", "error_forged", "error_request", "error_defect"),
    *("first_user", "second_user", "reason_wrong", "lose_unconfirmed"),
    *("newer_event", "newer_error", "newer_hint"),
}
"""The keys that templates and handlers put together."""


def sources() -> str:
    """Return all templates and handlers."""
    folder = ROOT / "src/entrypoints/admin/console"
    return "\n".join(path.read_text(encoding="utf-8") for path in [*folder.rglob("*.html"), *folder.glob("*.py")])


def test_every_text_is_used_and_there() -> None:
    """The templates use the texts that there are, and no other."""
    used = {key for key in re.findall(USED, sources()) if not key.endswith("_")} | DYNAMIC

    assert used == set(TEXTS)


def test_every_text_has_the_same_values_in_both_languages() -> None:
    """The Chinese text has the values of the English one, and an English text with forms has a number."""
    for key, (english, chinese) in TEXTS.items():
        values = [set(re.findall(r"\{\w+\}", each)) for each in (english, chinese)]

        assert values[0] == values[1], key
        assert "|" not in chinese, key


@pytest.mark.parametrize(("n", "said"), [(0, "No session"), (1, "One session"), (2, "2 sessions"), (31, "31 sessions")])
def test_a_text_has_forms_for_numbers(n: int, said: str) -> None:
    """None, one and more are told apart in English."""
    assert text("en", "done_ended_all", n=n).startswith(said)
    assert str(n) in text("zh", "done_ended_all", n=n)


def test_wechats_errors_are_those_of_the_documentation() -> None:
    """The Chinese explanations of WeChat's errors are those of the Chinese page, for each known errcode."""
    page = (ROOT / "docs/wechat-errors.zh-CN.md").read_text(encoding="utf-8").replace("`", "")
    documented = {number: texts for number, _, *texts, _ in table(page, "errcode")}

    assert errcodes_in_chinese() == documented
    assert {int(number) for number in documented} == set(wechat_errcodes())


def test_every_error_of_a_login_is_explained() -> None:
    """Each error with a Chinese title has a hint, unless it cannot be the error of a login."""
    assert set(ERROR_TITLES) - {"phone_taken"} == set(ERROR_HINTS)


@pytest.mark.parametrize(
    ("term", "queries"),
    [
        ("13812345678", [UserQuery(phone="+8613812345678"), UserQuery(phone="+13812345678")]),
        ("+86 (138) 1234-5678", [UserQuery(phone="+8613812345678")]),
        ("00852 5123 4567", [UserQuery(phone="+85251234567")]),
        ("01A2280D-40AA-702C-A689-7FEB7641A70D", [UserQuery(id="01a2280d-40aa-702c-a689-7feb7641a70d")]),
        ("", []),
        ("x" * 129, []),
    ],
)
def test_a_term_is_recognised(term: str, queries: list[UserQuery]) -> None:
    """Phone numbers and ids are recognised. Everything but an id may also be an openid or a unionid."""
    found = list(queries_for(term))
    others = [UserQuery(openid=term), UserQuery(unionid=term)] if queries and queries[0].phone else []

    assert found == [*queries, *others]


@pytest.mark.parametrize(
    ("phone", "shown"),
    [("+8613812345678", "138****5678"), ("+85251234567", "+85****4567"), ("+12345", "+1****45")],
)
def test_a_phone_number_is_masked(phone: str, shown: str) -> None:
    """The middle of a phone number is not shown."""
    assert masked(phone) == shown


@pytest.mark.parametrize("path", ["//x", "/admin/../x", "/admin", "https://x/admin/", "/admin/v1/users", "/admin/\n"])
def test_only_paths_of_the_console_are_followed(path: str) -> None:
    """Any other path leads to the first page."""
    assert local_path(path) == "/admin/"


def test_every_static_file_is_known() -> None:
    """The files of the console are those that it serves."""
    folder = files("entrypoints.admin.console").joinpath("static")

    assert {each.name for each in folder.iterdir()} == {"console.css", "console.js", "icon.svg"}
