"""`wxlogin migrate`, `keygen`, `reencrypt`, `doctor` and `explain`."""

import asyncio
import sys

import rich_click as click

RETRY = {"new_code": "helps, with a new code", "later": "helps, later", "never": "does not help"}


@click.command()
def migrate() -> None:
    """Migrate the database to the newest schema. Safe to repeat, and from several hosts at once."""
    from entrypoints.cli.running import exit_statuses
    from entrypoints.container import migrate_database
    from entrypoints.settings import load_settings

    with exit_statuses():
        asyncio.run(migrate_database(load_settings()))
    sys.stderr.write("The database has the newest schema.\n")


@click.command()
@click.option("--signing", is_flag=True, help="Print a signing key, for WXLOGIN_SIGNING_KEYS: a private JWK for ES256.")
@click.option("--admin", metavar="NAME", help="Print an admin key, and its entry for WXLOGIN_ADMIN_KEYS.")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    type=click.Choice(["read", "write", "erase"]),
    help="What the admin key allows; repeatable.  [default: read]",
)
def keygen(signing: bool, admin: str | None, scopes: tuple[str, ...]) -> None:
    """Print one new encryption key, for WXLOGIN_ENCRYPTION_KEYS; or a key of another kind."""
    if signing and admin is not None:
        raise click.UsageError("--signing and --admin print different keys. Use one of them.")
    if scopes and admin is None:
        raise click.UsageError("--scope is for --admin.")
    if admin is not None:
        _print_admin_key(admin, scopes)
    elif signing:
        from entrypoints.container import new_signing_key

        sys.stdout.write(new_signing_key() + "\n")
    else:
        from cryptography.fernet import Fernet

        sys.stdout.write(Fernet.generate_key().decode() + "\n")


def _print_admin_key(name: str, scopes: tuple[str, ...]) -> None:
    """Print a new key, and on the next line the entry that allows its owner the scopes."""
    import json
    import re
    import secrets

    from domain.admin import digest_of

    if not re.fullmatch(r"[A-Za-z0-9._@-]{1,64}", name):
        raise click.UsageError("NAME has 1 to 64 letters, digits and characters of . _ @ -")
    key = f"wxadmin_{secrets.token_urlsafe(32)}"
    entry = {name: {"sha256": digest_of(key), "scopes": list(dict.fromkeys(scopes)) or ["read"]}}
    sys.stdout.write(f"{key}\n{json.dumps(entry)}\n")


@click.command()
def reencrypt() -> None:
    """Encrypt all stored session_keys and access tokens with the first of WXLOGIN_ENCRYPTION_KEYS.

    The other keys can go afterwards. Safe while the service runs. `lost` counts values that no key opens: the next
    login of their user replaces them.
    """
    from domain.event import CLI
    from entrypoints.cli.running import run, show

    show(run(lambda container: container.session_keys().reencrypt(CLI)))


@click.command(context_settings={"ignore_unknown_options": True})  # -1 is one of WeChat's codes
@click.argument("errcode", type=int)
def explain(errcode: int) -> None:
    """Explain a WeChat error code: meaning, usual cause, remedy, whether a retry helps."""
    from domain.errors import Unavailable
    from entrypoints.cli.running import fail
    from entrypoints.container import wechat_errcodes
    from entrypoints.problems import Exit

    known = wechat_errcodes().get(errcode)
    if known is None:
        fail(
            f"errcode {errcode} is not known here, and would be wechat_unavailable."
            f"\n  known: {', '.join(map(str, wechat_errcodes()))}",
            Exit.REFUSED,
        )
    later = "helps, later; a login needs a new code"
    lines = {
        "errcode": f"{errcode}",
        "meaning": known.meaning,
        "cause": known.cause,
        "mend": known.hint,
        "retry": later if issubclass(known.error, Unavailable) else RETRY[known.error.retry],
        "code": known.error.code,
    }
    sys.stdout.write("".join(f"{name:<8} {text}\n" for name, text in lines.items()))


@click.command()
@click.option("--wechat", is_flag=True, help="Prove each app's credentials by asking WeChat for an access token.")
def doctor(wechat: bool) -> None:
    """Check settings, database, session store and WeChat credentials, one line each, with a hint."""
    from entrypoints.doctor import examine

    sys.exit(asyncio.run(examine(sys.stdout.write, wechat=wechat)))
