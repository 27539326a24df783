"""Read settings from secret files and from a TOML file."""

import os
import tomllib
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

from pydantic_settings import PydanticBaseSettingsSource

PREFIX = "WXLOGIN_"
CONFIG_VARIABLE = "WXLOGIN_CONFIG"
SECRETS_VARIABLE = "WXLOGIN_SECRETS_DIR"
DEFAULT_SECRETS_DIR = Path("/run/secrets")


class SettingsError(Exception):
    """A setting is missing, unknown or malformed. The text names each, with an example."""


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        raise SettingsError(f"{path.name} in {path.parent} cannot be read ({type(error).__name__})") from None


class Source(PydanticBaseSettingsSource, ABC):
    """A source that reads all of its settings at once."""

    def get_field_value(self, field: Any, field_name: str) -> tuple[Any, str, bool]:
        """Do nothing. pydantic does not call it."""
        raise NotImplementedError  # __call__ reads all fields at once

    def __call__(self) -> dict[str, Any]:
        """Return the settings of this source that no stronger one has."""
        return {field: value for field, value in self.read().items() if field not in self.current_state}

    @abstractmethod
    def read(self) -> dict[str, Any]:
        """Return all settings of this source. Raises SettingsError if it cannot be read."""


class TomlFile(Source):
    """The TOML file of WXLOGIN_CONFIG."""

    def read(self) -> dict[str, Any]:
        """See Source."""
        path = os.environ.get(CONFIG_VARIABLE)
        if not path:
            return {}
        try:
            return tomllib.loads(Path(path).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise SettingsError(f"{CONFIG_VARIABLE}: {path} cannot be read as TOML ({error})") from None


class SecretFiles(Source):
    """The directory of secrets: one file for each setting, named like the setting or its variable.

    The directory of WXLOGIN_SECRETS_DIR must contain nothing else. /run/secrets may have files of other programs.
    """

    def read(self) -> dict[str, Any]:
        """See Source."""
        named = os.environ.get(SECRETS_VARIABLE)
        directory = Path(named) if named else DEFAULT_SECRETS_DIR
        if not directory.is_dir():
            if named:
                raise SettingsError(f"{SECRETS_VARIABLE}: {named} is not a directory")
            return {}
        values: dict[str, Any] = {}
        for path in sorted(directory.iterdir()):
            if path.name.startswith(".") or not path.is_file():
                continue
            prefixed = path.name.upper().startswith(PREFIX)
            field = path.name.lower().removeprefix(PREFIX.lower())
            if field in self.settings_cls.model_fields:
                values[field] = _read(path)
            elif named or prefixed:
                raise SettingsError(f"{path.name} in {directory} is not a setting")
        return values
