"""The documents of the public interface and of the decisions are complete."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import rich_click as click
from litestar.routes import HTTPRoute

from entrypoints.admin.access import NEEDS, PREFIX
from entrypoints.admin.app import create_app as create_admin_app
from entrypoints.cli.main import main
from entrypoints.container import Container
from entrypoints.http.app import create_app
from support.pages import ROOT, section, table

INTERFACE = (ROOT / "docs/reference/interface.md").read_text(encoding="utf-8")
DECISIONS = ROOT / "docs/decisions"


@asynccontextmanager
async def no_container() -> AsyncIterator[Container]:
    """Raise an error, because the routes are described without a container."""
    raise NotImplementedError
    yield


def commands(group: click.Group, prefix: str = "") -> set[str]:
    """Return the names of all commands of a group, as a user types them."""
    context = click.Context(group)
    found: set[str] = set()
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command
        found |= commands(command, f"{prefix}{name} ") if isinstance(command, click.Group) else {f"{prefix}{name}"}
    return found


def test_the_interface_has_every_command() -> None:
    """The table of commands has the commands of the command line, and no other."""
    documented: set[str] = set()
    for names, _ in table(section(INTERFACE, "Commands"), "command"):
        first, *others = [re.split(r" [A-Z\[]", name)[0] for name in re.findall("`([^`]+)`", names)]
        path = first.removeprefix("wxlogin ").split(" ")
        documented |= {" ".join(path)} | {" ".join([*path[:-1], other]) for other in others}

    assert documented == commands(main)


def test_the_interface_has_every_route() -> None:
    """The tables of HTTP have the paths and methods of the OpenAPI description, and no other."""
    paths = create_app(no_container).openapi_schema.paths or {}
    served = {
        f"{method.upper()} {path}"
        for path, item in paths.items()
        for method in ("get", "post", "put", "patch", "delete")
        if getattr(item, method, None)
    }
    documented = set(re.findall(r"`((?:GET|POST|PUT|PATCH|DELETE) /[^ `]*)", section(INTERFACE, "HTTP")))

    assert {*documented, "POST /login"} == {each.rstrip("/") for each in served}


def test_the_interface_has_every_route_of_the_admin_api() -> None:
    """The table of the admin API has its routes with their scopes, and no other."""
    handlers = [
        (route.path, handler)
        for route in create_admin_app(no_container).routes
        if isinstance(route, HTTPRoute) and route.path.startswith(PREFIX)
        for handler in route.route_handlers
    ]
    served = {
        (handler.opt[NEEDS].value, f"{method} {path.replace(':str', '')}")
        for path, handler in handlers
        for method in handler.http_methods
        if method != "OPTIONS"
    }
    rows = [[re.findall("`([^`]+)`", cell)[0] for cell in row[:2]] for row in table(INTERFACE, "scope | route")]

    assert {(scope, route) for scope, route in rows} == served


def test_the_interface_has_every_job() -> None:
    """The table of jobs has the jobs of the worker, and no other."""
    worker = (ROOT / "src/entrypoints/worker.py").read_text(encoding="utf-8")
    named = set(re.findall(r'task\("(wxlogin\.\w+)"', worker))

    assert {job.strip("`") for job, *_ in table(section(INTERFACE, "Jobs"), "job")} == named


def test_every_decision_has_a_status_and_is_in_the_index() -> None:
    """Every decision has a status, and the index has its title."""
    index = (DECISIONS / "README.md").read_text(encoding="utf-8")
    for page in sorted(DECISIONS.glob("0*.md")):
        title, _, status, *_ = page.read_text(encoding="utf-8").splitlines()
        number, text = title.removeprefix("# ").split(". ", 1)

        assert re.match(r"Status: (accepted, \d{4}-\d\d-\d\d|superseded by )", status), page.name
        assert f"| [{number}]({page.name}) | {text} |" in index
