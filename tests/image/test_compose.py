"""compose.yaml, brought up as its first lines say: by Docker Compose, on Docker or on Podman's socket."""

import collections
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest

from image.conftest import UNPRIVILEGED_BUILD, Engine
from support.pages import ROOT
from support.servers import free_port, wait_until

IMAGES = Path(__file__).parent / "images"
STAND_INS = {"postgres": "docker.io/library/postgres:17", "redis": "docker.io/library/redis:7"} | {
    "caddy": "docker.io/library/caddy:2"
}
"""The images that this machine cannot fetch, with the names of the Dockerfiles that replace them."""

NETWORK = "10.213.77"
"""The first three numbers of the containers' addresses."""

COMPOSE = shutil.which("docker-compose", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")


@dataclass(frozen=True)
class Project:
    """The services of compose.yaml."""

    command: list[str]
    environment: dict[str, str]

    def __call__(self, *arguments: str) -> str:
        """Run a command of Docker Compose, which must succeed, and return what it prints."""
        done = subprocess.run(
            [*self.command, *arguments],
            env=self.environment,
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout

    def url(self, variable: str) -> str:
        """Return the URL of a published port."""
        return f"http://127.0.0.1:{self.environment[variable]}"


@contextmanager
def podman_socket(engine: Engine, directory: Path) -> Iterator[str]:
    """Serve Docker's API by Podman, and yield its address."""
    address = f"unix://{directory}/podman.sock"
    with subprocess.Popen([*engine.command, "system", "service", "--time", "0", address]) as service:
        wait_until(lambda: (directory / "podman.sock").exists(), "Podman's socket")
        try:
            yield address
        finally:
            service.kill()  # it does not stop while a client keeps a connection


def override(directory: Path) -> str:
    """Write what Podman needs here, and return the path.

    Limits that it may set; no health checks, which need systemd's timers; and addresses in place of its name server,
    which can take seconds to answer while a container restarts on a busy machine.
    """
    command = [str(COMPOSE), "--profile", "demo", "config", "--format", "json"]
    config = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    services = json.loads(config)["services"]
    limits = {name: {"soft": 4096, "hard": 4096} for name in ("nofile", "nproc")}
    addresses = {name: f"{NETWORK}.{number}" for number, name in enumerate(services, 10)}
    changed = {name: {"ulimits": limits, "healthcheck": {"disable": True}} for name in services}
    for name, service in services.items():
        waits = service.get("depends_on") or {}
        healthy = [other for other, each in waits.items() if each["condition"] == "service_healthy"]
        changed[name]["depends_on"] = {other: {"condition": "service_started"} for other in healthy}
        if service.get("network_mode") != "none":
            hosts = {**addresses, "wxlogin": addresses["wxlogin-1"]}
            changed[name] |= {"networks": {"default": {"ipv4_address": addresses[name]}}, "extra_hosts": hosts}
    networks = {"default": {"ipam": {"config": [{"subnet": f"{NETWORK}.0/24"}]}}}
    path = directory / "override.json"
    path.write_text(json.dumps({"services": changed, "networks": networks}), encoding="utf-8")
    return str(path)


@pytest.fixture(scope="module")
def project(engine: Engine, image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """The services with the profile `demo`, on free ports."""
    directory = tmp_path_factory.mktemp("compose")
    ports = {name: str(free_port()) for name in ("HTTP_PORT", "HTTPS_PORT", "SANDBOX_PORT")}
    command = [str(COMPOSE), "--project-name", "wxlogin-test", "--file", "compose.yaml"]
    with ExitStack() as stack:
        environment = {**os.environ, **ports, "IMAGE": image}
        if "podman" in engine.command:
            for file, name in STAND_INS.items():
                options = ["--quiet", "--format", "docker", *UNPRIVILEGED_BUILD]
                engine.output("build", *options, "--file", f"{IMAGES}/{file}.Dockerfile", "--tag", name, str(IMAGES))
            environment["DOCKER_HOST"] = stack.enter_context(podman_socket(engine, directory))
            command += ["--file", override(directory)]
        running = Project([*command, "--profile", "demo"], environment)
        stack.callback(lambda: running("down", "--volumes", "--timeout", "5"))
        running("up", "--detach", "--no-build", "postgres", "redis")
        wait_until(lambda: is_ready(running), "PostgreSQL")
        running("up", "--detach", "--no-build")
        wait_until(lambda: status_of(f"{running.url('HTTP_PORT')}/orders") == 401, "the services")
        yield running


def status_of(url: str) -> int:
    """Return the status of a GET, or 0 without a response."""
    try:
        return httpx2.get(url, timeout=10).status_code
    except httpx2.TransportError:
        return 0


def is_ready(project: Project) -> bool:
    """Return whether PostgreSQL has created the database and accepts connections over the network.

    Podman's API does not return the exit status of a command, so the output decides.
    """
    send = "PGPASSWORD=wxlogin psql -h 127.0.0.1 -U wxlogin -t -c \"SELECT 'rea' || 'dy'\" wxlogin"
    command = [*project.command, "exec", "-T", "postgres", "bash", "-c", send]
    done = subprocess.run(command, env=project.environment, cwd=ROOT, capture_output=True, text=True, check=False)
    return "ready" in done.stdout


@pytest.fixture(scope="module")
def token(project: Project) -> str:
    """The token of a login by a code of the sandbox, through Caddy."""
    with httpx2.Client() as http:
        code = http.post(f"{project.url('SANDBOX_PORT')}/sandbox/codes", json={"appid": "wxdemo0123456789ab"}).json()
        login = http.post(f"{project.url('HTTP_PORT')}/login/", json={"code": code["code"]})
    return str(login.json()["data"]["token"])


@pytest.mark.parametrize("profile", [[], ["--profile", "demo"]], ids=["production", "demo"])
def test_the_file_is_valid(profile: list[str]) -> None:
    """Docker Compose accepts the file, also with the production settings."""
    settings = ["--env-file", "deploy/compose/production.env"] if not profile else []
    command = [str(COMPOSE), *settings, *profile, "config", "--quiet"]

    assert subprocess.run(command, cwd=ROOT, capture_output=True, check=False).returncode == 0


def test_an_empty_secret_of_production_is_not_replaced_by_a_known_one() -> None:
    """The settings for production, copied and not edited, have no AppSecret and no password: nothing starts."""
    command = [str(COMPOSE), "--env-file", "deploy/compose/production.env", "config", "--format", "json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    services = json.loads(done.stdout)["services"]

    assert services["wxlogin-1"]["environment"]["WXLOGIN_APP_SECRET"] == ""
    assert services["postgres"]["environment"]["POSTGRES_PASSWORD"] == ""


def test_a_backend_gets_the_user_of_a_login(project: Project, token: str) -> None:
    """A user who logs in with a code of the sandbox is known to the backend behind Caddy."""
    with httpx2.Client() as http:
        seen = http.get(f"{project.url('HTTP_PORT')}/orders", headers={"Authorization": f"Bearer {token}"})
        anonymous = http.get(f"{project.url('HTTP_PORT')}/orders", headers={"X-User-Id": "forged"})
    names = {name.lower() for name, _ in seen.json()["headers"]}

    assert {"x-user-id", "x-wx-openid", "x-wx-appid"} <= names
    assert "authorization" not in names
    assert anonymous.status_code == 401


def test_the_public_paths_reach_wxlogin(project: Project) -> None:
    """Caddy passes pictures, keys, metadata and pushes on to wxlogin, which has none of them here, and nothing else."""
    picture, keys = f"/oauth2/device/{'x' * 22}.jpg", "/.well-known/jwks.json"
    public = [picture, keys, "/.well-known/oauth-authorization-server", "/wechat/push/wxdemo0123456789ab"]
    found = {path: status_of(f"{project.url('HTTP_PORT')}{path}") for path in [*public, "/oauth2/introspect"]}

    assert found == {**dict.fromkeys(public, 404), "/oauth2/introspect": 401}


def checks_of(project: Project, name: str) -> int:
    """Return how many tokens an instance has accepted since its start."""
    script = "import urllib.request as r; print(r.urlopen('http://127.0.0.1:8000/metrics').read().decode())"
    command = [*project.command, "exec", "-T", name, "python3", "-c", script]
    done = subprocess.run(command, env=project.environment, cwd=ROOT, capture_output=True, text=True, check=False)
    found = re.search(r'^wxlogin_session_checks_total\{outcome="ok"\} (\d+)', done.stdout, re.MULTILINE)
    return int(found[1]) if found else 0


@pytest.mark.parametrize(
    "command", [["restart"], ["up", "--detach", "--no-deps", "--no-build", "--force-recreate"]], ids=["restart", "up"]
)
def test_new_instances_in_turn_lose_no_request(project: Project, token: str, command: list[str]) -> None:
    """While each instance restarts, or is replaced as in an upgrade, every request to the backend succeeds.

    The second one begins when Caddy uses the first instance again. Podman kills at once without `--timeout`.
    """
    responses: collections.Counter[str] = collections.Counter()
    over = threading.Event()

    def load() -> None:
        with httpx2.Client(headers={"Authorization": f"Bearer {token}"}, timeout=30) as http:
            while not over.is_set():
                try:
                    response = http.get(f"{project.url('HTTP_PORT')}/orders")
                    responses["good" if response.status_code == 200 else response.text] += 1
                except httpx2.HTTPError as error:
                    responses[type(error).__name__] += 1

    clients = [threading.Thread(target=load) for _ in range(4)]
    for client in clients:
        client.start()
    for name in ("wxlogin-1", "wxlogin-2"):
        project(*command, "--timeout", "30", name)
        wait_until(lambda: checks_of(project, name) > 0, "requests to the instance")  # noqa: B023  # waits here
    over.set()
    for client in clients:
        client.join()

    assert set(responses) == {"good"}


def test_a_second_start_keeps_the_encryption_key(project: Project, token: str) -> None:
    """After `up` again, the key is the same, and the session of before is live."""
    project("up", "--detach", "--no-build", "--force-recreate", "keys", "migrate", "wxlogin-1", "wxlogin-2")
    url, headers = f"{project.url('HTTP_PORT')}/v1/sessions", {"Authorization": f"Bearer {token}"}
    with httpx2.Client() as http:
        wait_until(lambda: http.get(url, headers=headers).status_code == 200, "the session")
        code = http.get(f"{project.url('HTTP_PORT')}/v1/wechat/session-key", headers=headers)

    assert code.json() == {"valid": True}
