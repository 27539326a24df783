"""The container image, as operators run it."""

import os
import secrets
from pathlib import Path

import httpx2
import pytest

from image.conftest import Engine
from support.processes import APPID, KEY, SECRET, Sandbox
from support.servers import free_port, wait_until

MEGABYTES = 250

HARDENED = ("--read-only", "--cap-drop", "all", "--security-opt", "no-new-privileges")
"""What a careful operator takes from a container. Podman's read-only containers would still have a writable /tmp."""


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A directory for the database, of the group of the image's user."""
    directory = tmp_path / "data"
    directory.mkdir()
    os.chown(directory, 10001, 0)
    directory.chmod(0o770)
    for parent in directory.parents[:4]:
        parent.chmod(parent.stat().st_mode | 0o011)
    return directory


@pytest.fixture
def options(engine: Engine, data: Path, sandbox: Sandbox) -> list[str]:
    """The options of a hardened container with the settings of a service."""
    settings = {
        "WXLOGIN_APPID": APPID,
        "WXLOGIN_APP_SECRET": SECRET,
        "WXLOGIN_ENCRYPTION_KEYS": KEY,
        "WXLOGIN_WECHAT_URL": sandbox.url,
    }
    hardened = [*HARDENED, *(["--read-only-tmpfs=false"] if "podman" in engine.command else [])]
    return [*hardened, "-v", f"{data}:/data", *(f"--env={name}={value}" for name, value in settings.items())]


def test_the_image_is_small(engine: Engine, image: str) -> None:
    """The image takes less than 250 MB unpacked."""
    assert int(engine.output("image", "inspect", "--format", "{{.Size}}", image)) < MEGABYTES * 1_000_000


def test_the_image_has_nothing_to_build_with(engine: Engine, image: str) -> None:
    """The image has no pip, no compiler and no C source, and its user is neither root nor in need of a name."""
    script = (
        "import importlib.util, os, pathlib, shutil;"
        "print(importlib.util.find_spec('pip'), shutil.which('gcc'), shutil.which('pip'), os.getuid(), os.getgid(),"
        " len(list(pathlib.Path('/opt/wxlogin').rglob('*.c'))))"
    )
    shown = engine.run("--rm", "--entrypoint", "python3", image, "-c", script)

    assert shown.stdout.split() == ["None", "None", "None", "10001", "0", "0"], shown.stderr


@pytest.mark.parametrize("user", ["10001:0", "1234567:0"], ids=["its own user", "an arbitrary user"])
def test_a_hardened_container_serves(
    engine: Engine, image: str, options: list[str], sandbox: Sandbox, user: str
) -> None:
    """Migrate, serve with two workers, log in, SIGTERM: exit status 0, on a read-only root without capabilities."""
    name, port = f"wxlogin-test-{secrets.token_hex(4)}", str(free_port())
    options = [*options, "--user", user]
    migrated = engine.run("--rm", *options, image, "migrate")
    serve = ["serve", "--host", "127.0.0.1", "--port", port, "--workers", "2"]
    started = engine.run("--detach", "--name", name, *options, image, *serve)
    try:
        assert (migrated.returncode, started.returncode) == (0, 0), migrated.stderr + started.stderr
        check = ["exec", name, "wxlogin", "healthcheck", "--ready", "--port", port]
        wait_until(lambda: engine(*check).returncode == 0, "the service")
        with httpx2.Client(base_url=f"http://127.0.0.1:{port}") as http:
            login = http.post("/login/", json={"code": sandbox.code()}).json()
            token = login["data"]["token"]
            auth = http.get("/auth", headers={"Authorization": f"Bearer {token}"})
            schema = http.get("/docs/openapi.json")
            docs = http.get("/docs")
        engine.output("kill", "--signal", "TERM", name)
        status = engine.output("wait", name)
        log = engine("logs", name)
    finally:
        engine("rm", "--force", name)

    assert (login["status"], auth.status_code, schema.status_code, docs.status_code) == (0, 204, 200, 200)
    assert status == "0", log.stderr
    assert '"stopped"' in log.stderr + log.stdout
    assert "Traceback" not in log.stderr + log.stdout


def test_the_image_says_how_to_probe_and_stop_it(engine: Engine, image: str) -> None:
    """The image declares its health check, its stop signal, its port and its version."""
    declared = engine.output(
        "image",
        "inspect",
        "--format",
        "{{json .Config.Healthcheck.Test}} {{.Config.StopSignal}} {{json .Config.ExposedPorts}} {{.Config.User}}"
        ' {{index .Config.Labels "org.opencontainers.image.version"}}',
        image,
    )
    health, stop, ports, user, version = declared.split()

    assert (health, stop, user) == ('["CMD","wxlogin","healthcheck"]', "SIGTERM", "10001:0")
    assert "8000/tcp" in ports
    assert version == engine.run("--rm", image, "--version").stdout.split()[-1]
