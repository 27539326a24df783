"""`wxlogin sessions` and `wxlogin users`."""

import rich_click as click


@click.group(no_args_is_help=False)
def sessions() -> None:
    """List and end a user's sessions."""


@sessions.command("list")
@click.argument("user_id")
def list_sessions(user_id: str) -> None:
    """List the user's live sessions, newest first."""
    from entrypoints.cli.running import run, show
    from entrypoints.responses import SessionList

    show(SessionList.of(run(lambda container: container.user_sessions().list_all(user_id))))


@sessions.command()
@click.argument("session_id")
def end(session_id: str) -> None:
    """End one session."""
    from domain.event import CLI
    from entrypoints.cli.running import run, show
    from entrypoints.log import log_session

    log_session("logout", run(lambda container: container.sessions().end(session_id, CLI)))
    show({"ended": 1})


@sessions.command()
@click.argument("user_id")
def end_all(user_id: str) -> None:
    """End all sessions of a user."""
    from domain.event import CLI
    from entrypoints.cli.running import run, show
    from entrypoints.log import log

    ended = run(lambda container: container.user_sessions().end_all(user_id, CLI))
    log.info("logout_everywhere", user_id=user_id, sessions=ended)
    show({"ended": ended})


@click.group(no_args_is_help=False)
def users() -> None:
    """Find and show users, block them, export and erase their data, and merge users who are the same person."""


@users.command("find")
@click.option("--openid", help="The openid, in any app.")
@click.option("--phone", help="The phone number in E.164, such as +8613800000000.")
@click.option("--unionid", help="The unionid.")
def find_users(openid: str | None, phone: str | None, unionid: str | None) -> None:
    """Find users by one or more of the options, newest first, at most 200. Ends with status 3 if there are none."""
    from domain.errors import NotFound
    from domain.user_query import UserQuery
    from entrypoints.cli.running import exit_statuses, run, show
    from entrypoints.responses import AdminUser, AdminUserList

    if not (openid or phone or unionid):
        raise click.UsageError("Use --openid, --phone or --unionid.")
    query = UserQuery(openid, phone, unionid, limit=200)
    found = run(lambda container: container.administration().find_users(query))
    with exit_statuses():
        if not found:
            raise NotFound("There is no such user")
    show(AdminUserList([AdminUser.of(user) for user in found]))


@users.command("show")
@click.argument("user_id")
def show_user(user_id: str) -> None:
    """Show the user's profile, WeChat accounts and live sessions."""
    from entrypoints.cli.running import run, show
    from entrypoints.responses import SessionList, UserResponse

    user = run(lambda container: container.users().get(user_id))
    live = run(lambda container: container.user_sessions().list_all(user_id))
    blocked = {"blocked_at": user.blocked_at} if user.blocked_at else {}
    show({"user": UserResponse.of(user), **blocked, "sessions": SessionList.of(live).sessions})


@users.command()
@click.argument("user_id")
def block(user_id: str) -> None:
    """Block a user: end all their sessions, and refuse their logins."""
    from domain.event import CLI
    from entrypoints.cli.running import run, show
    from entrypoints.log import log

    ended = run(lambda container: container.block_users().block(user_id, CLI))
    log.info("user_blocked", user_id=user_id, sessions=ended)
    show({"ended": ended})


@users.command()
@click.argument("user_id")
def unblock(user_id: str) -> None:
    """Allow a blocked user to log in again."""
    from domain.event import CLI
    from entrypoints.cli.running import run, show
    from entrypoints.log import log
    from entrypoints.responses import UserResponse

    user = run(lambda container: container.block_users().unblock(user_id, CLI))
    log.info("user_unblocked", user_id=user_id)
    show({"user": UserResponse.of(user)})


@users.command()
@click.argument("user_id")
def export(user_id: str) -> None:
    """Print all that is kept about a user, as one JSON document, for the user who asks for it."""
    from entrypoints.cli.running import run, show
    from entrypoints.log import log

    document = run(lambda container: container.own_data().export(user_id))
    log.info("data_exported", user_id=user_id)
    show(document)


@users.command()
@click.argument("user_id")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
def erase(user_id: str, *, yes: bool) -> None:
    """Erase a user with all their data, and end their sessions. It cannot be undone. Repeat it after a failure.

    Asks for confirmation on a terminal. The next login of the same person creates a new user, even if the user was
    blocked. `erased` is false if the user had been erased before.
    """
    import sys

    from domain.event import CLI
    from entrypoints.cli.running import fail, run, show
    from entrypoints.log import log
    from entrypoints.problems import Exit

    if not yes and not sys.stdin.isatty():
        fail(f"To erase the user {user_id} without a terminal, confirm with --yes", Exit.USAGE)
    if not yes and not click.confirm(f"Erase the user {user_id} with all their data?", err=True):
        fail("Nothing was erased", Exit.REFUSED)
    erased = run(lambda container: container.own_data().erase(user_id, CLI))
    log.info("user_erased", user_id=user_id, finished=None if erased else "again")
    show({"erased": erased})


@users.command()
def conflicts() -> None:
    """List users that share a unionid, so that they have to be merged."""
    from entrypoints.cli.running import run, show
    from entrypoints.responses import ConflictList

    show(ConflictList.of(run(lambda container: container.merge_users().conflicts())))


@users.command()
@click.argument("source_id", metavar="FROM")
@click.argument("target_id", metavar="INTO")
@click.option("--discard", multiple=True, metavar="FIELD", help="Drop FROM's value, where both have one; repeatable.")
def merge(source_id: str, target_id: str, discard: tuple[str, ...]) -> None:
    """Merge the user FROM into the user INTO: accounts, sessions, phone and profile.

    Refuses if a field differs and is not discarded. A record of FROM is kept, and its id finds INTO from then on. If
    one of the two is blocked, INTO is blocked, and all its sessions end.
    """
    from domain.event import CLI
    from entrypoints.cli.running import run, show
    from entrypoints.log import log
    from entrypoints.responses import UserResponse

    merged = run(lambda container: container.merge_users()(source_id, target_id, CLI, frozenset(discard)))
    log.info(
        "users_merged", user_id=merged.user.id, from_id=source_id, sessions=merged.sessions, discarded=list(discard)
    )
    ended = {"ended": merged.ended} if merged.user.blocked_at else {}
    show({"user": UserResponse.of(merged.user), "sessions": merged.sessions, **ended})
