"""`wxlogin sessions` and `wxlogin users`."""

import rich_click as click


@click.group(no_args_is_help=False)
def sessions() -> None:
    """List and end a user's sessions."""


@sessions.command("list")
@click.argument("user_id")
def list_sessions(user_id: str) -> None:
    """The user's live sessions, newest first."""
    from entrypoints.answers import SessionList
    from entrypoints.cli.running import run, show

    show(SessionList.of(run(lambda container: container.sessions().of_user(user_id))))


@sessions.command()
@click.argument("session_id")
def end(session_id: str) -> None:
    """Log one session out."""
    from entrypoints.cli.running import run, show

    run(lambda container: container.sessions().end(session_id))
    show({"ended": 1})


@sessions.command()
@click.argument("user_id")
def end_all(user_id: str) -> None:
    """Log a user out everywhere."""
    from entrypoints.cli.running import run, show

    show({"ended": run(lambda container: container.sessions().end_all(user_id))})


@click.group(no_args_is_help=False)
def users() -> None:
    """Show users."""


@users.command("show")
@click.argument("user_id")
def show_user(user_id: str) -> None:
    """The user's profile, WeChat accounts and open sessions."""
    from entrypoints.answers import SessionList, UserAnswer
    from entrypoints.cli.running import run, show

    user = run(lambda container: container.users().get(user_id))
    live = run(lambda container: container.sessions().of_user(user_id))
    show({"user": UserAnswer.of(user), "sessions": SessionList.of(live).sessions})
