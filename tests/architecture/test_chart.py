"""The Helm chart in deploy/helm/wxlogin: what Helm renders from sets of values, without a cluster."""

import json
import re
import tarfile
import tomllib
import typing
from pathlib import Path

import kubernetes_validate
import pytest
import rich_click as click
import yaml
from pydantic import SecretStr

from domain.admin import Admin, Scope
from entrypoints.cli.main import main
from entrypoints.setting_sources import PREFIX, SECRETS_VARIABLE
from entrypoints.settings import Settings, SettingsError, load_settings
from support.chart import (
    CHART,
    SETS,
    Manifest,
    changed,
    containers,
    helm,
    objects,
    one,
    pods,
    render,
    render_files,
    secret_files,
)
from support.pages import ROOT, blocks

VERSIONS = [f"1.{minor}" for minor in range(30, 38)]
"""The versions of Kubernetes for which the objects are validated."""

CUSTOM = {
    "HTTPRoute": "gateway.networking.k8s.io/v1",
    "Middleware": "traefik.io/v1alpha1",
    "ServersTransport": "traefik.io/v1alpha1",
    "PodMonitor": "monitoring.coreos.com/v1",
    "PrometheusRule": "monitoring.coreos.com/v1",
    "ServiceMonitor": "monitoring.coreos.com/v1",
}
"""Kinds that Kubernetes itself does not have, so no schema of Kubernetes has them."""

GRACE = 13
"""What wxlogin needs to stop, beyond its drain: docs/operations.md."""

PUBLIC = {
    ("/login", "Exact"),
    ("/login/", "Exact"),
    ("/v1/", "Prefix"),
    ("/wechat/push/", "Prefix"),
    ("/oauth2/device", "Exact"),
    ("/oauth2/device/", "Prefix"),
    ("/.well-known/jwks.json", "Exact"),
    ("/.well-known/oauth-authorization-server", "Exact"),
}
"""The paths that clients, browsers, WeChat and backends anywhere call, with their types in an Ingress."""

INSIDE = ["/auth", "/docs", "/healthz", "/metrics", "/readyz"] + [
    f"/oauth2/{name}" for name in ("device_authorization", "introspect", "revoke", "token")
]
"""The paths that only gateways, backends and probes inside call."""

each_set = pytest.mark.parametrize("name", sorted(SETS))


def secret_settings() -> set[str]:
    """Return the settings whose values contain a secret."""

    def has_secret(annotation: object) -> bool:
        if isinstance(annotation, type) and hasattr(annotation, "model_fields"):
            return any(has_secret(field.annotation) for field in annotation.model_fields.values())
        return annotation is SecretStr or any(has_secret(part) for part in typing.get_args(annotation))

    return {name for name, field in Settings.model_fields.items() if has_secret(field.annotation)}


def variables(pod: Manifest) -> dict[str, str]:
    """Return the variables of the containers of a pod that have a plain value."""
    return {each["name"]: each["value"] for container in containers(pod) for each in container.get("env", ())}


@pytest.mark.parametrize("version", VERSIONS)
def test_the_objects_are_valid(version: str) -> None:
    """Each object of each set of values fits the strict schema of Kubernetes, which knows no other field."""
    seen = set()
    for manifest in [each for name in SETS for each in objects(name) if each["kind"] not in CUSTOM]:
        text = json.dumps(manifest)
        if text not in seen:
            assert kubernetes_validate.validate(manifest, version, strict=True) == version
            seen.add(text)

    assert len(seen) > 20


def test_the_validation_is_strict() -> None:
    """A field that Kubernetes does not have is refused, wherever it is."""
    deployment = one(objects("minimal"), "Deployment")
    deployment["spec"]["template"]["spec"]["containers"][0]["livenesProbe"] = {}

    with pytest.raises(kubernetes_validate.ValidationError, match="livenesProbe"):
        kubernetes_validate.validate(deployment, VERSIONS[-1], strict=True)


@each_set
def test_the_chart_is_linted(name: str) -> None:
    """Helm's linter finds nothing but the missing icon."""
    report = helm()("lint", SETS[name], strict=True, kube_version="v1.30.0")

    assert report["errors"] == []
    assert [message["error"] for message in report["messages"]] == ["icon is recommended"]


@each_set
def test_an_object_is_named_once(name: str) -> None:
    """No two objects of a release have the same kind and name, and each is in the release's namespace."""
    manifests = [each for each in objects(name) if not each["metadata"]["name"].startswith("from-an-object")]
    names = [(each["kind"], each["metadata"]["name"]) for each in manifests]

    assert len(names) == len(set(names))
    assert {each["metadata"].get("namespace", "login") for each in manifests} == {"login"}


def test_a_long_name_is_cut() -> None:
    """With the longest name of a release, every name fits into a label, which Kubernetes makes of some."""
    values = SETS["everything"] | {"fullnameOverride": "", "nameOverride": ""}

    assert max(len(each["metadata"]["name"]) for each in render(values, name="r" * 53)) <= 63


@each_set
def test_the_pods_are_restricted(name: str) -> None:
    """Each pod keeps the restricted Pod Security Standard, has a read-only file system, and no access to Kubernetes."""
    for pod in pods(objects(name)):
        spec = pod["spec"]
        assert spec["automountServiceAccountToken"] is False
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec)
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"].get("runAsUser") != 0
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        allowed = {"name", "configMap", "csi", "emptyDir", "projected", "secret"}
        assert all(set(volume) <= allowed for volume in spec.get("volumes", ()))
        for container in containers(pod):
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert not [port for port in container.get("ports", ()) if "hostPort" in port]


@each_set
def test_the_pods_get_no_variables_of_services(name: str) -> None:
    """Kubernetes adds no variable for a Service to a pod: one with the name wxlogin would stop the start."""
    assert all(pod["spec"]["enableServiceLinks"] is False for pod in pods(objects(name)))


def test_a_variable_of_a_service_would_stop_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """The variable that Kubernetes would add for the chart's own Service is refused as an unknown setting."""
    monkeypatch.setenv(f"{PREFIX}SERVICE_HOST", "10.96.0.1")

    with pytest.raises(SettingsError, match=f"{PREFIX}SERVICE_HOST is not a setting"):
        load_settings()


@each_set
def test_the_commands_exist(name: str) -> None:
    """The arguments of each container are a command line that `wxlogin` parses."""
    for pod in pods(objects(name)):
        for container in containers(pod):
            command, *arguments = container["args"]
            found = main.get_command(click.Context(main), command)
            assert found is not None
            found.make_context(command, arguments)


@each_set
def test_the_variables_are_settings(name: str) -> None:
    """Each WXLOGIN_ variable of a pod is a setting, and none is a secret."""
    secret = {f"{PREFIX}{setting.upper()}" for setting in secret_settings()}
    known = {f"{PREFIX}{setting.upper()}" for setting in Settings.model_fields} | {SECRETS_VARIABLE}
    names = {variable for pod in pods(objects(name)) for variable in variables(pod) if variable.startswith(PREFIX)}

    assert names <= known - secret


def test_the_schema_has_every_setting() -> None:
    """settings has all settings without secrets, and secrets.create those with secrets. drain has its own value."""
    properties = json.loads((CHART / "values.schema.json").read_text("utf-8"))["properties"]
    plain, secret = properties["settings"]["properties"], properties["secrets"]["properties"]["create"]["properties"]

    assert set(secret) == secret_settings()
    assert set(plain) == set(Settings.model_fields) - secret_settings() - {"drain_seconds"}
    assert {
        "admin_keys",
        "app_secret",
        "apps",
        "clients",
        "database_url",
        "encryption_keys",
        "push_aes_key",
        "push_token",
        "redis_url",
        "signing_keys",
        "webhooks",
    } == secret_settings()


def test_the_service_reads_what_the_chart_renders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The variables and the Secret of everything.yaml are the settings that its values state."""
    manifests = objects("everything")
    for name, text in secret_files(manifests).items():
        (tmp_path / name).write_text(text, "utf-8")
    rendered = variables(one(manifests, "Deployment", "shop-login")["spec"]["template"])
    for name, value in rendered.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv(SECRETS_VARIABLE, str(tmp_path))
    settings = load_settings().require_app()
    values = SETS["everything"]
    secrets = values["secrets"]["create"]

    assert settings.model_fields_set == set(Settings.model_fields)
    assert {name: getattr(settings, name) for name in values["settings"]} == values["settings"]
    assert settings.drain_seconds == values["drain"]["seconds"]
    assert settings.redis_url == SecretStr(secrets["redis_url"])
    assert settings.database_url == SecretStr(secrets["database_url"])
    assert [key.get_secret_value() for key in settings.encryption_keys] == secrets["encryption_keys"]
    assert {name: client.secret.get_secret_value() for name, client in settings.clients.items()} == secrets["clients"]
    assert [key.jwk["d"] for key in settings.signing_keys] == [key["d"] for key in secrets["signing_keys"]]
    assert settings.admins == {
        secrets["admin_keys"]["ann"]["sha256"]: Admin("ann", frozenset({Scope.READ, Scope.WRITE}))
    }
    assert [each.endpoint.url for each in settings.webhooks] == [each["url"] for each in secrets["webhooks"]]
    assert settings.signed_tokens.audiences == {"orders", "payments"}
    assert set(settings.secrets_of("wechat").values()) == {secrets["app_secret"], secrets["apps"][0]["secret"]}


def strings(value: object) -> set[str]:
    """Return all strings below a value."""
    if isinstance(value, dict | list):
        children = value.values() if isinstance(value, dict) else value
        return set().union(*map(strings, children)) if children else set()
    return {value} if isinstance(value, str) else set()


@pytest.mark.parametrize("name", ["trial", "everything"])
def test_a_secret_is_only_in_secrets(name: str) -> None:
    """Nothing that is rendered contains a secret, except the Secrets."""
    secrets = strings(
        {**SETS[name]["secrets"]["create"], "apps": [], "clients": {}, "signing_keys": [], "admin_keys": {}}
    )
    secrets |= {"fedcba9876543210fedcba9876543210", "a-random-secret-of-at-least-32-characters"}
    secrets |= {key["d"] for key in SETS[name]["secrets"]["create"].get("signing_keys", ())}
    texts = {file: text for file, text in render_files(SETS[name]).items() if not file.endswith("/secret.yaml")}

    assert [file for file, text in texts.items() for secret in secrets if secret in text] == []
    assert len(texts) > 10


@each_set
def test_each_pod_of_wxlogin_has_its_secrets(name: str) -> None:
    """Each pod that reads settings mounts the source of the secrets as the directory of WXLOGIN_SECRETS_DIR."""
    source = SETS[name]["secrets"]
    found = [pod["spec"] for pod in pods(objects(name)) if pod["spec"]["containers"][0]["name"] != "ready"]
    for spec in found:
        (volume,) = (volume for volume in spec["volumes"] if volume["name"] == "secrets")
        if "volume" in source:
            assert volume == {"name": "secrets", **source["volume"]}
        else:
            assert volume["secret"]["defaultMode"] == 0o440
            existing = source.get("existingSecret") or {
                each["metadata"]["name"] for each in objects(name, "Secret")
            }.intersection([volume["secret"]["secretName"]])
            assert volume["secret"]["secretName"] in existing
        for container in containers({"spec": spec}):
            (mount,) = (mount for mount in container["volumeMounts"] if mount["name"] == "secrets")
            environment = {each["name"]: each["value"] for each in container["env"]}
            assert mount == {"name": "secrets", "mountPath": environment[SECRETS_VARIABLE], "readOnly": True}

    assert found


def is_hook(manifest: Manifest) -> bool:
    """Return whether Helm creates an object before those of the release."""
    return "pre-install" in manifest["metadata"].get("annotations", {}).get("helm.sh/hook", "")


@each_set
def test_the_migration_needs_nothing_of_the_release(name: str) -> None:
    """What the migration's pod names exists before the release: it is a hook of a lower weight, or not the chart's."""
    manifests = objects(name)
    made = {(each["kind"], each["metadata"]["name"]) for each in manifests if not is_hook(each)}
    for job in [each for each in manifests if each["kind"] == "Job"]:
        spec = job["spec"]["template"]["spec"]
        secret = spec["volumes"][0].get("secret", {}).get("secretName")
        assert is_hook(job)
        assert ("ServiceAccount", spec["serviceAccountName"]) not in made
        assert ("Secret", secret) not in made
        for hook in [each for each in manifests if is_hook(each) and each is not job]:
            assert int(hook["metadata"]["annotations"]["helm.sh/hook-weight"]) < 0

    modes = {each: SETS[each].get("migration", {}).get("mode", "hook") for each in SETS}
    assert ("Job" in {each["kind"] for each in manifests}) == (modes[name] == "hook")


def test_the_migration_can_be_an_init_container() -> None:
    """With initContainer, each pod migrates before it serves, and there is no hook."""
    manifests = objects("volume")
    (init,) = one(manifests, "Deployment")["spec"]["template"]["spec"]["initContainers"]

    assert init["args"] == ["migrate"]
    assert not list(filter(is_hook, manifests))


@each_set
def test_selectors_find_their_pods(name: str) -> None:
    """Each selector of the release matches the pods of exactly one component, of this release alone."""
    manifests = objects(name)
    labels = [pod["metadata"]["labels"] for pod in pods(manifests)]
    found = list(find_selectors([each for each in manifests if each["kind"] != "PrometheusRule"]))
    for selector in found:
        matched = [each for each in labels if selector.items() <= each.items()]
        assert len(matched) == 1, selector
        assert selector["app.kubernetes.io/instance"] == "wxlogin"

    assert len(found) >= 2


def find_selectors(value: object) -> typing.Iterator[dict[str, str]]:
    """Return the selectors that name this release, wherever they are."""
    if isinstance(value, list):
        for each in value:
            yield from find_selectors(each)
    elif isinstance(value, dict):
        for key, each in value.items():
            if key in ("matchLabels", "selector") and isinstance(each, dict) and "app.kubernetes.io/name" in each:
                yield each
            else:
                yield from find_selectors(each)


@each_set
def test_a_service_monitor_finds_the_service(name: str) -> None:
    """The ServiceMonitor's selector and port are those of the Service, and the port is the container's."""
    service = one(objects(name), "Service")
    (port,) = service["spec"]["ports"]
    (container,) = containers(one(objects(name), "Deployment", service["metadata"]["name"])["spec"]["template"])[-1:]
    assert port["targetPort"] in {each["name"] for each in container["ports"]}
    for monitor in objects(name, "ServiceMonitor"):
        assert monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
        assert monitor["spec"]["endpoints"][0]["port"] == port["name"]


@each_set
def test_the_job_of_the_alerts_is_the_job_of_the_monitors(name: str) -> None:
    """The monitors set the label job that the alerts expect."""
    (job,) = set(re.findall(r'job="(\w+)"', (ROOT / "examples/grafana/alerts.yml").read_text("utf-8")))
    for monitor in objects(name, "ServiceMonitor", "PodMonitor"):
        (endpoint,) = monitor["spec"].get("endpoints") or monitor["spec"]["podMetricsEndpoints"]
        assert {"action": "replace", "targetLabel": "job", "replacement": job} == endpoint["relabelings"][0]
        assert endpoint["path"] == "/metrics"


def test_the_alerts_are_those_of_the_examples() -> None:
    """The chart's copy is the file of the examples, and the rule has its groups, with Prometheus's own templates."""
    source = (ROOT / "examples/grafana/alerts.yml").read_bytes()

    assert (CHART / "files/alerts.yml").read_bytes() == source
    assert one(objects("production"), "PrometheusRule")["spec"] == yaml.safe_load(source)


@each_set
def test_the_kinds_of_others_have_their_group(name: str) -> None:
    """An object of a kind that Kubernetes does not have is of the version that its operator has."""
    assert all(CUSTOM.get(each["kind"], each["apiVersion"]) == each["apiVersion"] for each in objects(name))


@each_set
def test_a_pod_has_the_time_to_stop(name: str) -> None:
    """The grace period is longer than preStop, drain and what wxlogin needs after that."""
    for deployment in objects(name, "Deployment"):
        spec = deployment["spec"]["template"]["spec"]
        container = spec["containers"][0]
        pause = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
        drain = 0.0
        if container["args"][0] == "serve":
            drain = float(variables(deployment["spec"]["template"])[f"{PREFIX}DRAIN_SECONDS"])
            assert pause == SETS[name].get("drain", {}).get("preStopSeconds", 5)
        assert spec["terminationGracePeriodSeconds"] > pause + drain + GRACE


@each_set
def test_the_probes_are_those_of_the_service(name: str) -> None:
    """A start needs the stores; then an outage of a store neither restarts a pod nor takes it from the gateway."""
    for deployment in objects(name, "Deployment"):
        container = deployment["spec"]["template"]["spec"]["containers"][0]
        probes = {key: probe["httpGet"] for key, probe in container.items() if key.endswith("Probe")}
        paths = {key.removesuffix("Probe"): (probe["path"], probe["port"]) for key, probe in probes.items()}
        if container["args"][0] == "serve":
            assert paths == {
                "startup": ("/readyz", "http"),
                "liveness": ("/healthz", "http"),
                "readiness": ("/readyz?exclude=stores", "http"),
            }
            arguments = container["args"]
            assert arguments[arguments.index("--port") + 1] == str(container["ports"][0]["containerPort"])
        else:
            assert paths == {"startup": ("/metrics", "metrics"), "liveness": ("/metrics", "metrics")}


@each_set
def test_a_node_can_always_be_drained(name: str) -> None:
    """A disruption budget states how many pods may be away, at least one, so one replica does not block a drain."""
    for budget in objects(name, "PodDisruptionBudget"):
        assert set(budget["spec"]) == {"maxUnavailable", "selector", "unhealthyPodEvictionPolicy"}
        assert budget["spec"]["maxUnavailable"] not in (0, "0%")


def test_the_autoscaler_owns_the_number_of_pods() -> None:
    """With the autoscaler, the Deployment has no replicas, which an upgrade would set back."""
    manifests = objects("production")
    deployment, scaler = one(manifests, "Deployment", "wxlogin"), one(manifests, "HorizontalPodAutoscaler")
    target = scaler["spec"]["scaleTargetRef"]
    metric = scaler["spec"]["metrics"][0]["containerResource"]

    assert "replicas" not in deployment["spec"]
    assert one(objects("minimal"), "Deployment")["spec"]["replicas"] == 2
    assert (target["kind"], target["name"]) == ("Deployment", deployment["metadata"]["name"])
    assert metric["container"] == deployment["spec"]["template"]["spec"]["containers"][0]["name"]


def test_a_new_version_replaces_the_old_one_without_a_gap() -> None:
    """By default, no pod stops before a new one is ready."""
    assert one(objects("minimal"), "Deployment")["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 0


@each_set
def test_only_the_routes_of_clients_are_public(name: str) -> None:
    """An Ingress or HTTPRoute has the public paths, and no other."""
    for ingress in objects(name, "Ingress"):
        for rule in ingress["spec"]["rules"]:
            assert {(path["path"], path["pathType"]) for path in rule["http"]["paths"]} == PUBLIC
    for route in objects(name, "HTTPRoute"):
        (rule,) = route["spec"]["rules"]
        paths = {(match["path"]["value"], match["path"]["type"].removeprefix("Path")) for match in rule["matches"]}
        assert paths == PUBLIC
        assert rule["backendRefs"] == [{"name": "shop-login", "port": 80}]


def test_no_public_path_covers_one_for_backends() -> None:
    """No path for backends is public, also where a prefix is compared by characters, as Traefik does for an Ingress."""
    covered = [
        (inside, path)
        for inside in INSIDE
        for path, kind in PUBLIC
        if inside == path or (kind == "Prefix" and inside.startswith(path))
    ]

    assert covered == []


def test_traefik_asks_as_in_the_tested_example() -> None:
    """The Middlewares are those of examples/gateways, which run under test, with the Service in place of an address."""
    example = yaml.safe_load((ROOT / "examples/gateways/traefik.dynamic.yml").read_text("utf-8"))["http"]
    manifests = objects("production")
    auth, caller, chain = (
        one(manifests, "Middleware", f"wxlogin-{each}") for each in ("auth", "caller", "forward-auth")
    )
    address = auth["spec"]["forwardAuth"].pop("address")
    example["middlewares"]["auth"]["forwardAuth"].pop("address")
    service = one(manifests, "Service")

    assert address == f"http://wxlogin.login.svc:{service['spec']['ports'][0]['port']}/auth"
    assert auth["spec"] == example["middlewares"]["auth"]
    assert caller["spec"] == example["middlewares"]["caller"]
    assert chain["spec"] == {"chain": {"middlewares": [{"name": "wxlogin-auth"}, {"name": "wxlogin-caller"}]}}
    assert one(manifests, "ServersTransport")["spec"] == example["serversTransports"]["wxlogin"]
    assert service["metadata"]["annotations"] == {
        "traefik.ingress.kubernetes.io/service.serverstransport": "login-wxlogin@kubernetescrd"
    }


@pytest.mark.parametrize("name", ["production", "everything"])
def test_the_network_policies_cover_every_pod(name: str) -> None:
    """Each pod of the release has a policy for both directions. Only what the values name gets in."""
    manifests = objects(name)
    policies = {
        each["spec"]["podSelector"]["matchLabels"]["app.kubernetes.io/component"]: each
        for each in manifests
        if each["kind"] == "NetworkPolicy"
    }
    values = SETS[name]["networkPolicy"]
    test = {
        "podSelector": {
            "matchLabels": {
                **policies["server"]["spec"]["podSelector"]["matchLabels"],
                "app.kubernetes.io/component": "test",
            }
        }
    }
    rules = {component: policy["spec"]["ingress"] for component, policy in policies.items()}

    assert set(policies) == {"server", "worker", "migrate"}
    assert all(policy["spec"]["policyTypes"] == ["Ingress", "Egress"] for policy in policies.values())
    assert all(
        policy["spec"]["egress"][0]["ports"][0] == {"port": 53, "protocol": "UDP"} for policy in policies.values()
    )
    assert all(rule.get("ports") for policy in policies.values() for rule in policy["spec"]["egress"])
    assert [rule["from"] for rule in rules["server"]] == [[*values["from"], *values["metricsFrom"], test]]
    assert [rule["from"] for rule in rules["worker"]] == [values["metricsFrom"]]
    assert rules["migrate"] == []


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("secrets.create.app_secret", "f" * 32),
        ("secrets.create.database_url", "postgresql+asyncpg://other/wxlogin"),
        ("settings.log_level", "debug"),
        ("drain.seconds", 20),
    ],
)
def test_a_change_restarts_the_pods(path: str, value: object) -> None:
    """A new secret or setting makes another pod template, and the same values make the same one."""
    before, same = objects("trial"), render(SETS["trial"])
    after = render(changed("trial", path, value))

    assert one(before, "Deployment") == one(same, "Deployment")
    assert one(before, "Deployment")["spec"]["template"] != one(after, "Deployment")["spec"]["template"]


def test_a_new_version_of_an_existing_secret_restarts_the_pods() -> None:
    """Another existingSecretVersion makes another pod template of each Deployment."""
    before, after = objects("production"), render(changed("production", "secrets.existingSecretVersion", "4712"))
    for name in ("wxlogin", "wxlogin-worker"):
        old, new = (one(each, "Deployment", name)["spec"]["template"] for each in (before, after))
        assert old["metadata"].pop("annotations") != new["metadata"].pop("annotations")
        assert old == new


def test_the_versions_are_those_of_the_project() -> None:
    """The chart's version, its appVersion and so the image's tag are the version of the project."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text("utf-8"))
    image = one(objects("minimal"), "Deployment")["spec"]["template"]["spec"]["containers"][0]["image"]

    assert (chart["version"], chart["appVersion"], chart["kubeVersion"]) == (version, version, f">={VERSIONS[0]}.0-0")
    assert image == f"registry.example.com/wxlogin:{version}"


def test_openshift_chooses_the_user() -> None:
    """With null for user and groups, the pods leave them to the cluster, and stay restricted otherwise."""
    values = changed("minimal", "podSecurityContext", dict.fromkeys(("runAsUser", "runAsGroup", "fsGroup")))

    assert [pod["spec"]["securityContext"] for pod in pods(render(values))] == [
        {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    ] * 3


def test_recreate_has_no_rolling_update() -> None:
    """The strategy Recreate alone is enough: the default of the other strategy is dropped."""
    deployment = one(render(changed("minimal", "strategy.type", "Recreate")), "Deployment")

    assert deployment["spec"]["strategy"] == {"type": "Recreate"}


def test_the_package_has_what_the_chart_needs(tmp_path: Path) -> None:
    """The archive that `helm package` makes has the alerts, the schema and the README, and not the sets of values."""
    with tarfile.open(helm()("package", {}, destination=str(tmp_path))) as archive:
        names = {name.removeprefix("wxlogin/") for name in archive.getnames()}

    assert {"Chart.yaml", "README.md", "files/alerts.yml", "values.schema.json", "templates/_pod.tpl"} <= names
    assert not [name for name in names if name.startswith("ci/")]


def test_the_notes_name_the_next_step() -> None:
    """The notes have the test, and for Traefik the annotation with the name of the Middleware."""
    notes = {name: render_files(SETS[name])["wxlogin/templates/NOTES.txt"] for name in ("production", "trial")}

    assert "helm test wxlogin --namespace login" in notes["production"]
    assert "router.middlewares: login-wxlogin-forward-auth@kubernetescrd" in notes["production"]
    assert "secrets.existingSecret" not in notes["production"]
    assert "secrets.existingSecret" in notes["trial"]


PAGES = ["docs/kubernetes.md", "docs/kubernetes.zh-CN.md"]


@pytest.mark.parametrize("page", PAGES)
def test_the_examples_of_the_page_work(page: str) -> None:
    """The page's values render, its objects are valid, and its Ingresses name what the chart creates."""
    values, *manifests = [yaml.safe_load(block) for block in blocks((ROOT / page).read_text("utf-8"), "yaml")]
    rendered = render(values)
    names = {f"login-{each['metadata']['name']}@kubernetescrd" for each in rendered if each["kind"] == "Middleware"}
    service = one(rendered, "Service")
    for manifest in manifests:
        kubernetes_validate.validate(manifest, VERSIONS[-1], strict=True)
    annotations: dict[str, str] = {}
    for each in manifests:
        annotations |= each["metadata"].get("annotations", {})

    assert annotations["traefik.ingress.kubernetes.io/router.middlewares"] in names
    assert annotations["nginx.ingress.kubernetes.io/auth-url"] == (
        f"http://{service['metadata']['name']}.login.svc.cluster.local:{service['spec']['ports'][0]['port']}/auth"
    )
    named = set(annotations["nginx.ingress.kubernetes.io/auth-response-headers"].split(","))
    assert named >= {"X-User-Id", "X-Session-Id", "X-WX-OPENID", "X-WX-APPID", "X-WX-UNIONID", "X-WX-SOURCE"}
    assert "Authorization" in named
