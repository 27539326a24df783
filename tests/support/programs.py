"""The programs that tests use wherever they are found. CI requires all of them."""

from support import backends, browser, gateways
from support.places import DATABASES


def find_missing() -> list[str]:
    """Return the names of the programs that were not found. Tests that need them are left out."""
    found = {
        "MariaDB": "mariadb" in DATABASES,
        **{name: name in gateways.FOUND for name in gateways.COMMANDS},
        "PHP with curl and APCu": "php" in backends.FOUND,
        "Chromium": browser.FOUND is not None,
    }
    return [name for name, is_found in found.items() if not is_found]
