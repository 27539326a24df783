"""docs/operations.md, the dashboard and the alerts use the metrics that a running service publishes."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from domain.webhook import DeliveryOutcome
from entrypoints.metrics import NO_APP
from entrypoints.problems import DEFECT, OUTCOMES
from support.pages import ROOT, section, table
from support.processes import Sandbox, environment, service
from support.scrapes import scrape
from support.servers import free_port, sqlite_url
from support.webhooks import Receiver

PAGE = (ROOT / "docs/operations.md").read_text(encoding="utf-8")
ALERTS = (ROOT / "examples/grafana/alerts.yml").read_text(encoding="utf-8")
DASHBOARD: dict[str, Any] = json.loads((ROOT / "examples/grafana/wxlogin.json").read_text(encoding="utf-8"))
OF_PROMETHEUS = {"job", "instance", "le"}
"""Labels that Prometheus adds, and the label of a histogram's buckets."""

KNOWN_OUTCOMES = {"ok", DEFECT.code, *(each.code for each in OUTCOMES), *DeliveryOutcome}
"""The outcomes of calls, and of deliveries of webhooks."""

Labels = dict[str, set[str]]


@pytest.fixture(scope="module")
def exposed(sandbox: Sandbox, own_redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Labels:
    """The labels of each metric, after every counted event has occurred."""
    env = environment(
        database_url=sqlite_url(tmp_path_factory.mktemp("operations")),
        wechat_url=sandbox.url,
        redis_url=own_redis_url,
        login_rate_limit="1/minute",
        webhooks=Receiver(url=f"http://127.0.0.1:{free_port()}/").setting(),
    )
    with service(env=env) as running:
        token = running.log_in(sandbox.code())["token"]
        running.http.post("/v1/sessions", json={"code": sandbox.code()})
        running.http.get("/v1/wechat/session-key", headers={"Authorization": f"Bearer {token}"})
        return scrape(running.url).labels()


def base(name: str, exposed: Labels) -> str:
    """Return the name of the histogram that a metric is part of, or the name itself."""
    stem = re.sub(r"_(bucket|sum|count)$", "", name)
    return stem if f"{stem}_bucket" in exposed else name


def expressions(part: Any) -> Iterator[str]:
    """Yield every query of the dashboard."""
    if isinstance(part, dict):
        if isinstance(part.get("expr"), str):
            yield part["expr"]
        part = list(part.values())
    if isinstance(part, list):
        for item in part:
            yield from expressions(item)


def alert_expressions() -> list[str]:
    """Return every query of the alerts, each on one line."""
    found = re.findall(r"^ +expr: (?:\|\n((?: {10,}.*\n)+)|(.+)\n)", ALERTS, re.MULTILINE)
    return [" ".join((block or line).split()) for block, line in found]


def metrics_in(expression: str) -> set[str]:
    """Return the metrics of a query."""
    return set(re.findall(r"\b(?:wxlogin|process)_\w+", expression))


QUERIES = [*expressions(DASHBOARD["panels"]), *alert_expressions()]
each_query = pytest.mark.parametrize("query", QUERIES)


def test_the_page_has_every_metric_with_its_labels(exposed: Labels) -> None:
    """The table has exactly the metrics of a service, with their labels."""
    documented = {row[0].strip("`"): set(re.findall(r"`(\w+)`", row[1])) for row in table(PAGE, "metric")}
    known: Labels = {}
    for name, labels in exposed.items():
        known.setdefault(base(name, exposed), set()).update(labels - {"le"})

    assert documented == known


def test_the_page_and_the_alerts_name_only_existing_metrics(exposed: Labels) -> None:
    """The text of the page and the alerts name only existing metrics."""
    named = metrics_in(re.sub(r"`process_\*?`", "", PAGE)) | metrics_in(ALERTS)

    assert named - set(exposed) - {base(name, exposed) for name in exposed} == set()


@each_query
def test_a_query_uses_existing_metrics_and_labels(query: str, exposed: Labels) -> None:
    """The metrics, the labels and the label values in a query exist."""
    matchers = re.findall(r"\b(wxlogin_\w+|process_\w+)\{([^}]*)\}", query)
    grouped = re.findall(r"(?:by|ignoring) \(([^)]*)\)", query)
    by = {label.strip() for group in grouped for label in group.split(",")}
    metrics = metrics_in(query)

    assert metrics <= set(exposed)
    assert by <= set().union(*(exposed[name] for name in metrics)) | OF_PROMETHEUS
    for name, inside in matchers:
        for label, value in re.findall(r'(\w+)=?[=!]~?"([^"]*)"', inside):
            assert label in exposed[name] | OF_PROMETHEUS
            assert label != "outcome" or set(value.split("|")) <= KNOWN_OUTCOMES


def test_every_metric_is_on_the_dashboard(exposed: Labels) -> None:
    """The dashboard shows every metric of the service."""
    shown = {base(name, exposed) for query in expressions(DASHBOARD) for name in metrics_in(query)}

    assert {base(name, exposed) for name in exposed} - shown <= {"process_virtual_memory_bytes"}


def test_every_panel_uses_the_selected_data_source() -> None:
    """Every panel of the dashboard uses the selected data source."""
    sources = [panel["datasource"] for panel in DASHBOARD["panels"] if panel["type"] != "row"]

    assert [source for source in sources if source != {"type": "prometheus", "uid": "${datasource}"}] == []
    assert [variable["name"] for variable in DASHBOARD["templating"]["list"]] == ["datasource", "job", "instance"]
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])


def test_a_legend_names_labels_of_its_query(exposed: Labels) -> None:
    """A legend uses only labels of its query."""
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", []):
            known = set().union(*(exposed[name] for name in metrics_in(target["expr"]))) | OF_PROMETHEUS
            assert set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])) <= known


def test_every_alert_is_explained() -> None:
    """The page has each alert, in the order of the file, and no others."""
    explained = re.findall(r"^### (\w+)$", section(PAGE, "Alerts"), re.MULTILINE)

    assert explained == re.findall(r"- alert: (\w+)", ALERTS)
    assert len(alert_expressions()) == len(explained)


def test_critical_alerts_are_marked() -> None:
    """The page marks the same alerts as critical as the rules."""
    critical = re.findall(r"^### (\w+)\n\nCritical\.", PAGE, re.MULTILINE)

    assert critical == [
        name
        for name, severity in re.findall(r"- alert: (\w+)\n(?:.*\n)*?\s+labels: \{ severity: (\w+) \}", ALERTS)
        if severity == "critical"
    ]


def test_the_page_has_the_value_for_no_app() -> None:
    """The page has the value of `app` for logins without an app."""
    assert f"`app` is `{NO_APP}`" in PAGE
