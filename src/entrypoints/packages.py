"""Find other distributions that install packages of the same names."""

from importlib import metadata

PACKAGES = ("domain", "application", "adapters", "entrypoints")
"""The top-level packages of wxlogin. PyPI has distributions with each of these names."""


def foreign_owners() -> dict[str, list[str]]:
    """Return the other distributions in this environment that install one of PACKAGES, by package.

    pip does not refuse that: the one that is installed last overwrites files of the other.
    """
    owners = metadata.packages_distributions()
    others = {package: sorted({*owners.get(package, [])} - {"wxlogin"}) for package in PACKAGES}
    return {package: names for package, names in others.items() if names}
