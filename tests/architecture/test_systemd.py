"""The units in deploy/systemd."""

import re
import shlex
import shutil
import subprocess
from configparser import RawConfigParser
from pathlib import Path

import pytest
import rich_click as click

from entrypoints.cli.main import main
from entrypoints.setting_sources import PREFIX
from entrypoints.settings import Settings
from support.pages import ROOT

UNITS = sorted((ROOT / "deploy/systemd").glob("*.service"))
each_unit = pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)

EXPOSURE = 3.0
"""systemd-analyze's limit between "OK" and "MEDIUM" is 5."""


def values(unit: Path, key: str) -> list[str]:
    """Return all values of a key of the section [Service], which may be repeated."""
    return re.findall(rf"^{key}=(.*)$", unit.read_text(encoding="utf-8"), re.MULTILINE)


@each_unit
def test_the_unit_is_confined(unit: Path) -> None:
    """systemd-analyze rates the exposure of the unit below 3 of 10."""
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        assert {"yes"} == {*values(unit, "NoNewPrivileges"), *values(unit, "DynamicUser")}
        return
    done = subprocess.run([analyze, "security", "--offline=true", unit], capture_output=True, text=True, timeout=60)
    exposure = re.search(r"Overall exposure level for \S+: ([\d.]+)", done.stdout)

    assert exposure, done.stderr
    assert float(exposure[1]) < EXPOSURE


@each_unit
def test_the_commands_of_the_unit_exist(unit: Path) -> None:
    """Each command line of the unit is one that `wxlogin` parses."""
    lines = [line for key in ("ExecStartPre", "ExecStart") for line in values(unit, key)]
    assert lines
    for line in lines:
        program, name, *arguments = shlex.split(line)
        command = main.get_command(click.Context(main), name)
        assert Path(program).name == "wxlogin"
        assert command is not None
        command.make_context(name, arguments)


@each_unit
def test_the_settings_of_the_unit_exist(unit: Path) -> None:
    """Each credential and each variable of the unit is a setting."""
    known = {*Settings.model_fields, "config", "secrets_dir"}
    named = {value.partition(":")[0] for value in values(unit, "LoadCredential")}
    named |= {value.partition("=")[0].removeprefix(PREFIX).lower() for value in values(unit, "Environment")}

    assert named <= known


def test_the_admin_api_has_the_stores_of_the_worker() -> None:
    """The unit of the admin API has each secret of the worker's but the AppSecret: both end sessions."""
    worker, admin = (
        {value.partition(":")[0] for value in values(ROOT / f"deploy/systemd/wxlogin-{name}.service", "LoadCredential")}
        for name in ("worker", "admin")
    )

    assert worker - admin == {"app_secret"}


@each_unit
def test_a_unit_can_be_parsed(unit: Path) -> None:
    """The unit has the sections that systemd expects, and nothing outside them."""
    parser = RawConfigParser(strict=False)
    parser.read(unit, encoding="utf-8")

    assert parser.sections() == ["Unit", "Service", "Install"]
