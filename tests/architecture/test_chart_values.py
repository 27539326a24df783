"""The values of the Helm chart: which are refused, and that schema, defaults and table name the same ones."""

import json
from typing import Any

import pytest

from support.chart import CHART, SETS, Refused, Values, changed, documented_values, render
from support.pages import table

WRONG: list[tuple[str, str, object, str]] = [
    ("minimal", "replicas", 2, "replicas"),
    ("minimal", "image.repositry", "wxlogin", "repositry"),
    ("minimal", "image.repository", "", "image.repository"),
    ("minimal", "image.tag", "a b", "/image/tag"),
    ("minimal", "image.digest", "sha256:12", "/image/digest"),
    ("minimal", "image.pullPolicy", "Sometimes", "/image/pullPolicy"),
    ("minimal", "settings.apid", "wx0123456789abcdef", "apid"),
    ("minimal", "settings.app_secret", "f" * 32, "app_secret"),
    ("minimal", "settings.drain_seconds", 3, "drain_seconds"),
    ("minimal", "settings.wechat_url", "api.weixin.qq.com", "/settings/wechat_url"),
    ("minimal", "settings.wechat_timeout_seconds", 0, "/settings/wechat_timeout_seconds"),
    ("minimal", "settings.sessions_per_user", -1, "/settings/sessions_per_user"),
    ("minimal", "settings.trusted_proxies", "10.0.0.0/8", "/settings/trusted_proxies"),
    ("minimal", "settings.trusted_proxies", ["traefik"], "/settings/trusted_proxies"),
    ("minimal", "settings.login_rate_limit", "many", "/settings/login_rate_limit"),
    ("minimal", "settings.log_level", "loud", "/settings/log_level"),
    ("minimal", "settings.docs", "no", "/settings/docs"),
    ("minimal", "secrets.existingSecret", "", "secrets.existingSecret"),
    ("minimal", "secrets.existingSecret", "My Secret", "/secrets/existingSecret"),
    ("minimal", "secrets.volume", {"csi": {"driver": "x"}}, "secrets.volume"),
    ("trial", "secrets.create.appsecret", "f" * 32, "appsecret"),
    ("trial", "secrets.create.database_url", "sqlite+aiosqlite:///hunter2.db", "secrets.create.database_url"),
    ("trial", "secrets.create.database_url", "postgres://wxlogin:hunter2@db/wxlogin", "secrets.create.database_url"),
    ("trial", "secrets.create.redis_url", "hunter2:6379", "secrets.create.redis_url"),
    ("trial", "secrets.create.encryption_keys", ["hunter2"], "secrets.create.encryption_keys"),
    ("trial", "secrets.create.encryption_keys", [], "/secrets/create/encryption_keys"),
    ("trial", "secrets.create.app_secret", "", "/secrets/create/app_secret"),
    ("trial", "settings", {}, "settings.appid"),
    ("trial", "worker.enabled", True, "secrets.create.redis_url"),
    ("minimal", "drain.seconds", 3601, "/drain/seconds"),
    ("minimal", "drain.preStopSeconds", -1, "/drain/preStopSeconds"),
    ("minimal", "replicaCount", "two", "/replicaCount"),
    ("minimal", "workers", 0, "/workers"),
    ("minimal", "host", "127.0.0.1", "/host"),
    ("minimal", "resources.limits.memory", "lots", "/resources/limits/memory"),
    ("minimal", "resources.cpu", 1, "cpu"),
    ("minimal", "strategy.type", "Blue", "/strategy/type"),
    ("minimal", "readinessProbe.httpGet", {"path": "/healthz"}, "httpGet"),
    ("production", "autoscaling.minReplicas", 20, "autoscaling.minReplicas"),
    ("production", "autoscaling.targetCPUUtilizationPercentage", None, "autoscaling.targetCPUUtilizationPercentage"),
    ("production", "resources", {"requests": {"cpu": None}}, "resources.requests.cpu"),
    ("minimal", "podDisruptionBudget.maxUnavailable", 0, "/podDisruptionBudget/maxUnavailable"),
    ("minimal", "podDisruptionBudget.maxUnavailable", "0%", "/podDisruptionBudget/maxUnavailable"),
    ("minimal", "podDisruptionBudget.minAvailable", 1, "minAvailable"),
    ("minimal", "topologySpreadConstraints", [{"maxSkew": 1}], "/topologySpreadConstraints/0"),
    ("minimal", "migration.mode", "cron", "/migration/mode"),
    ("minimal", "service.port", 70000, "/service/port"),
    ("minimal", "service.nodePort", 30080, "service.nodePort"),
    ("production", "ingress.hosts", [], "/ingress/hosts"),
    ("production", "ingress.hosts", ["https://id.example.com"], "/ingress/hosts/0"),
    ("production", "ingress.paths", ["/auth"], "paths"),
    ("everything", "httpRoute.parentRefs", [], "/httpRoute/parentRefs"),
    ("production", "networkPolicy.from", [], "/networkPolicy/from"),
    ("production", "serviceMonitor.interval", "often", "/serviceMonitor/interval"),
    ("production", "settings.metrics", False, "settings.metrics"),
    ("volume", "secrets.volume", {"hostPath": {"path": "/etc"}}, "hostPath"),
    ("minimal", "extraVolumes", [{"name": "host", "hostPath": {"path": "/etc"}}], "hostPath"),
    ("minimal", "podSecurityContext.runAsUser", 0, "/podSecurityContext/runAsUser"),
    ("minimal", "podSecurityContext.runAsNonRoot", False, "runAsNonRoot"),
    ("minimal", "securityContext", {"privileged": True}, "securityContext"),
    ("minimal", "podLabels", {"app.kubernetes.io/name": "other"}, "/podLabels"),
    ("minimal", "extraEnv", [{"name": "WXLOGIN_APP_SECRET", "value": "hunter2"}], "/extraEnv/0/name"),
]
"""Sets of values, each with one wrong value at a path, and what the refusal names."""


@pytest.mark.parametrize(
    ("name", "path", "value", "named"), WRONG, ids=[f"{path}-{value}" for _, path, value, _ in WRONG]
)
def test_a_wrong_value_is_refused(name: str, path: str, value: object, named: str) -> None:
    """Helm refuses the wrong value and names it, and the message contains no secret."""
    with pytest.raises(Refused) as refusal:
        render(changed(name, path, value))

    assert named in str(refusal.value)
    assert "hunter2" not in str(refusal.value)


def schema_paths(schema: dict[str, Any], path: str = "") -> set[str]:
    """Return the dotted paths of the values that the schema knows, two levels deep, as the table has them."""
    found = set()
    for name, below in schema["properties"].items():
        groups = "properties" in below and not path and name not in ("settings", "strategy", "podSecurityContext")
        probe = name.endswith("Probe")
        found |= schema_paths(below, f"{name}.") if groups and not probe else {f"{path}{name}"}
    return found


def test_every_value_has_a_schema_and_a_description() -> None:
    """The values, the schema and the README's table name the same values, with the same defaults."""
    documented = documented_values()
    schema = json.loads((CHART / "values.schema.json").read_text("utf-8"))

    assert table((CHART / "README.md").read_text("utf-8"), "value") == documented
    assert {row[0].strip("`") for row in documented} | {"global"} == schema_paths(schema)


def test_every_object_of_the_schema_is_closed() -> None:
    """The schema refuses unknown values wherever it names the known ones, except where Kubernetes checks."""

    def opened(schema: object, path: str) -> list[str]:
        if isinstance(schema, list):
            return [each for index, below in enumerate(schema) for each in opened(below, f"{path}/{index}")]
        if not isinstance(schema, dict):
            return []
        found = [path] if "properties" in schema and schema.get("additionalProperties") is not False else []
        return found + [each for key, below in schema.items() for each in opened(below, f"{path}/{key}")]

    found = opened(json.loads((CHART / "values.schema.json").read_text("utf-8")), "")

    assert [path for path in found if not path.endswith(("/if", "/then"))] == [
        "/properties/strategy",
        "/properties/extraEnv/items",
    ]


def test_the_everything_set_has_every_value() -> None:
    """everything.yaml sets each value of the table at least in part, so that each is rendered and validated."""
    values = SETS["everything"]
    both: set[str] = {"image.digest", "secrets.existingSecret", "secrets.existingSecretVersion", "secrets.volume"}
    kept = {"autoscaling.minReplicas", "autoscaling.maxReplicas", "autoscaling.targetCPUUtilizationPercentage"}
    kept |= {"podDisruptionBudget.enabled", "migration.mode", "networkPolicy.egress", "serviceAccount.create"}
    paths = [row[0].strip("`") for row in documented_values()]
    unset = {path for path in paths if not is_set(values, path)}

    assert unset == both | kept


def is_set(values: Values, path: str) -> bool:
    """Return whether a dotted path has a value."""
    parent, _, key = path.rpartition(".")
    return key in (values.get(parent, {}) if parent else values)
