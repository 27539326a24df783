"""Parsers for pages of the documentation."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]

Operation = tuple[str, str]
"""A method and a path."""


def table(text: str, first_column: str) -> list[list[str]]:
    """Return the rows of the table whose first head is this one, without spaces around the cells."""
    lines = iter(text.splitlines())
    next(line for line in lines if line.startswith(f"| {first_column} |"))
    next(lines)
    rows = []
    for line in lines:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split(" | ")])
    return rows


def section(text: str, title: str) -> str:
    """Return the text below a heading."""
    return text.split(f"\n## {title}\n")[1].split("\n## ")[0]


def blocks(text: str, language: str) -> list[str]:
    """Return the fenced blocks of a language."""
    fenced = re.findall(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [block for named, block in fenced if named == language]
