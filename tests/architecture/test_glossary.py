"""The names in the glossary are names in the code."""

import ast
import re
from itertools import chain

from support.pages import ROOT

GLOSSARY = (ROOT / "docs/glossary.md").read_text(encoding="utf-8")

REPLACED = {
    "Sealer", "DenseSealer", "Shared", "Place", "TokenStore", "TokenIssuer", "TokenState", "forget_at", "REASON_KEPT",
    "of_user", "answered_before", "translated", "Overtaken", "UNDONE", "RACES", "Questioned",
    "Genuineness", "SoonClosed", "Unsent", "PatientRetry", "Recent", "made_up", "zygote", "wire", "together", "judge",
    "PlainAnswer", "Enveloped", "resets_told", "tallies", "held_directory", "Door", "hang_up", "Wire", "ask", "Memory",
    "TrackedReader", "Counted", "Tallies", "mend", "whisper",
}  # fmt: skip
"""Names that were replaced by terms of the field."""


def identifiers(*folders: str) -> set[str]:
    """Return every name that the sources in these folders define or use."""
    names: set[str] = set()
    for path in chain.from_iterable((ROOT / folder).rglob("*.py") for folder in folders):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            match node:
                case ast.ClassDef(name=name) | ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                    names.add(name)
                case ast.Name(id=name) | ast.arg(arg=name) | ast.Attribute(attr=name):
                    names.add(name)
    return names


def test_terms_of_the_glossary_are_in_the_code() -> None:
    """Each name in the column "in code" exists."""
    cells = [line.split(" | ")[1] for line in GLOSSARY.splitlines() if line.startswith("| ")]
    named = set(re.findall(r"`(\w+)`", "\n".join(cells)))

    assert named - identifiers("src", "sandbox/src") == set()
    assert len(named) > 25


def test_no_replaced_name_is_used() -> None:
    """No name that was replaced by a term of the field is used again."""
    assert identifiers("src", "sandbox/src", "tests", "benchmarks") & REPLACED == set()
