"""`wxlogin`: the commands, each imported when it is used, so that --help is fast."""

import importlib

import rich_click as click

MODULES = {
    "demo": "entrypoints.cli.demo",
    "serve": "entrypoints.cli.serve",
    "admin": "entrypoints.cli.serve",
    "healthcheck": "entrypoints.cli.serve",
    "migrate": "entrypoints.cli.operate",
    "login": "entrypoints.cli.login",
    "sessions": "entrypoints.cli.manage",
    "users": "entrypoints.cli.manage",
    "audit": "entrypoints.cli.audit",
    "worker": "entrypoints.cli.serve",
    "sandbox": "wechat_sandbox.cli",
    "keygen": "entrypoints.cli.operate",
    "reencrypt": "entrypoints.cli.operate",
    "doctor": "entrypoints.cli.operate",
    "explain": "entrypoints.cli.operate",
}
"""Where each command is. Those modules import what is slow to import when the command runs, not before."""


class LazyGroup(click.RichGroup):
    """A group that imports the module of a command when it is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # click's signature
        """Return the commands in the order of the documentation."""
        return list(MODULES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002  # click's signature
        """Return the command, or None."""
        if cmd_name not in MODULES:
            return None
        command = getattr(importlib.import_module(MODULES[cmd_name]), cmd_name)
        assert isinstance(command, click.Command)  # noqa: S101  # the table above is ours
        return command


@click.group(cls=LazyGroup, no_args_is_help=False, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="wxlogin")
def main() -> None:
    """Run and manage the login service of WeChat mini-programs.

    Results go to stdout, everything else to stderr.

    Exit status: 0 done, 1 a defect of wxlogin, 2 wrong usage, 3 refused, 4 try again later, 5 misconfigured.
    """
