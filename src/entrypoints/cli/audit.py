"""`wxlogin audit`."""

from datetime import datetime

import rich_click as click


class Time(click.ParamType[datetime]):
    """A time of RFC 3339, with its offset from UTC."""

    name = "time"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """Return the time. Wrong usage ends the command."""
        from domain.errors import RequestInvalid
        from entrypoints.admin.queries import time_of

        try:
            return time_of(str(value))
        except RequestInvalid as error:
            self.fail(error.detail, param, ctx)


@click.group(no_args_is_help=False)
def audit() -> None:
    """Read the audit trail."""


@audit.command("list")
@click.option("--user", help="Only events of the user with this id.")
@click.option("--action", help="Only events of this type, such as user.blocked.")
@click.option("--since", type=Time(), metavar="TIME", help="Only events since then, such as 2026-11-29T08:00:00Z.")
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1, 10_000), help="How many events.")
def list_events(user: str | None, action: str | None, since: datetime | None, limit: int) -> None:
    """List events of the audit trail, newest first."""
    from domain.event import EventQuery, EventType
    from entrypoints.cli.running import exit_statuses, run, show
    from entrypoints.responses import EventList, EventResponse

    with exit_statuses():
        kind = EventType.named(action) if action is not None else None
    query = EventQuery(user, kind, since=since, limit=limit)
    events = run(lambda container: container.administration().find_events(query))
    show(EventList([EventResponse.of(event) for event in events]))
