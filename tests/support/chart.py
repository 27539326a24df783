"""The chart in deploy/helm/wxlogin, rendered by Helm in a process of its own.

Helm is a library in Go. Its threads would stay in the process of the tests, which must not fork with threads.
"""

import base64
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from support.pages import ROOT

CHART = ROOT / "deploy/helm/wxlogin"

Values = dict[str, Any]
Manifest = dict[str, Any]

SETS: dict[str, Values] = {path.stem: yaml.safe_load(path.read_text("utf-8")) for path in (CHART / "ci").glob("*.yaml")}
"""The sets of values beside the chart, by name."""


class Refused(Exception):
    """Helm refuses the values. The text is Helm's."""


class Helm:
    """The process that has Helm."""

    def __init__(self) -> None:
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
        command = [sys.executable, "-m", "support.chart"]
        self._process = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def __call__(self, function: str, values: Values, **options: object) -> Any:
        """Return the result of a function of `_serve`. Raises Refused."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps([function, values, options]) + "\n")
        self._process.stdin.flush()
        result, refusal = json.loads(self._process.stdout.readline())
        if refusal is not None:
            raise Refused(refusal)
        return result


@cache
def helm() -> Helm:
    """Return the process, started once. It ends when its stdin closes, with this process."""
    return Helm()


def _serve() -> None:
    import helm_python

    chart = helm_python.Chart.load(CHART)
    functions: dict[str, Callable[..., object]] = {
        "lint": lambda values, **options: helm_python.lint(CHART, values, **options),
        "package": lambda _, **options: helm_python.package(CHART, **options),
        "render": chart.render,
    }
    for line in sys.stdin:
        function, values, options = json.loads(line)
        try:
            answer = [functions[function](values, **options), None]
        except helm_python.HelmError as error:
            answer = [None, str(error)]
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


def render_files(values: Values, name: str = "wxlogin", namespace: str = "login") -> dict[str, str]:
    """Return the rendered text of each template. Raises Refused."""
    files: dict[str, str] = helm()("render", values, name=name, namespace=namespace)
    return files


def render(values: Values, name: str = "wxlogin", namespace: str = "login") -> list[Manifest]:
    """Return the objects of a release. Raises Refused."""
    texts = [text for file, text in render_files(values, name, namespace).items() if file.endswith(".yaml")]
    return [manifest for text in texts for manifest in yaml.safe_load_all(text) if manifest]


@cache
def _rendered(name: str) -> str:
    return json.dumps(render(SETS[name]))


def objects(name: str, *kinds: str) -> list[Manifest]:
    """Return the objects of these kinds, or of all, that a set of values renders."""
    manifests: list[Manifest] = json.loads(_rendered(name))
    return [manifest for manifest in manifests if not kinds or manifest["kind"] in kinds]


def one(manifests: list[Manifest], kind: str, name: str = "") -> Manifest:
    """Return the only object of a kind, with this name if one is given."""
    (found,) = (each for each in manifests if each["kind"] == kind and name in ("", each["metadata"]["name"]))
    return found


def pods(manifests: list[Manifest]) -> Iterator[Manifest]:
    """Return the metadata and the spec of each pod."""
    for manifest in manifests:
        if manifest["kind"] == "Pod":
            yield manifest
        elif manifest["kind"] in ("Deployment", "Job"):
            yield manifest["spec"]["template"]


def containers(pod: Manifest) -> list[Manifest]:
    """Return the chart's own containers of a pod: sidecars are the operator's."""
    found = [*pod["spec"].get("initContainers", []), *pod["spec"]["containers"]]
    return [container for container in found if container["name"] != "sidecar"]


def secret_files(manifests: list[Manifest]) -> dict[str, str]:
    """Return the files that the release's Secret becomes."""
    secret = next(each for each in manifests if each["kind"] == "Secret")
    return {name: base64.b64decode(value).decode() for name, value in secret["data"].items()}


def changed(name: str, path: str, value: object) -> Values:
    """Return a copy of a set of values with another value at a dotted path."""
    values = deepcopy(SETS[name])
    *parents, last = path.split(".")
    at = values
    for parent in parents:
        at = at.setdefault(parent, {})
    at[last] = value
    return values


def documented_values() -> list[list[str]]:
    """Return a row for each comment of values.yaml: the dotted path below it, the default in JSON, the comment."""
    text = (CHART / "values.yaml").read_text("utf-8")
    defaults = yaml.safe_load(text)
    rows = []
    parent = ""
    comment = ""
    for line in text.splitlines():
        if described := re.fullmatch(r" *# (.*)", line):
            comment = described[1]
        elif key := re.match(r"( {2})?(\w+):", line):
            parent = parent if key[1] else key[2]
            path = f"{parent}.{key[2]}" if key[1] else key[2]
            if comment:
                default = defaults[parent][key[2]] if key[1] else defaults[key[2]]
                rows.append([f"`{path}`", f"`{json.dumps(default)}`", comment])
            comment = ""
        elif not line:
            comment = ""
    return rows


if __name__ == "__main__":
    _serve()
