"""The page on the sandbox agrees with the sandbox."""

import re
import shlex
import sys
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

import anyio
import httpx2
import msgspec
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from litestar.handlers import HTTPRouteHandler
from litestar.routes import HTTPRoute

from entrypoints.container import open_signers, utc_now
from entrypoints.setting_models import Signing
from entrypoints.setting_sources import CONFIG_VARIABLE
from entrypoints.settings import load_settings
from support.pages import ROOT, Operation, blocks, table
from wechat_sandbox.api import ENDPOINTS
from wechat_sandbox.app import create_sandbox
from wechat_sandbox.faults import Fault

SANDBOX_PAGES = {
    name: (ROOT / "sandbox" / name).read_text(encoding="utf-8") for name in ("README.md", "README.zh-CN.md")
}
"""The page on the sandbox, in both languages."""

each_sandbox_page = pytest.mark.parametrize("page", SANDBOX_PAGES.values(), ids=SANDBOX_PAGES)

JSON = {"Content-Type": "application/json"}

FIRST_COLUMNS = {
    "controls": ("control", "接口"),
    "faults": ("field", "字段"),
    "calls": ("path", "路径"),
    "signing": ("key of `signing`", "`signing` 的字段"),
}
"""The first column heads of the tables, in both languages."""


@cache
def key_pair() -> tuple[str, str]:
    """Return a private key and its public key, both in PEM."""
    key = rsa.generate_private_key(65537, 2048)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return private.decode(), public.decode()


def in_process() -> httpx2.AsyncClient:
    """Return a client of a new sandbox, without a network."""
    transport = httpx2.ASGITransport(create_sandbox())  # type: ignore[arg-type]  # the same protocol with another type
    return httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1")


def sandbox_table(page: str, name: str) -> list[list[str]]:
    """Return the rows of a table of the page, in either language."""
    (column,) = [column for column in FIRST_COLUMNS[name] if f"\n| {column} |" in page]
    return table(page, column)


def fields_in(cell: str) -> list[str]:
    """Return the fields of `{"a", "b"?}`, with the question mark of optional fields."""
    return [name + optional for name, optional in re.findall(r'"(\w+)"(\??)', cell)]


def fields_of(kind: type[msgspec.Struct]) -> list[str]:
    """Return the fields of a type in the same format."""
    return [field.encode_name + "?" * (not field.required) for field in msgspec.structs.fields(kind)]


def curls_in(page: str) -> dict[Operation, str | None]:
    """Return the requests of the block with every control, with a key in place of the shell's command."""
    (block,) = [block for block in blocks(page, "sh") if "/sandbox/clock" in block]
    sent: dict[Operation, str | None] = {}
    for line in block.splitlines():
        program, url, *rest = shlex.split(re.sub(r"\$\(.*\)", "KEY", line))
        if program == "curl":
            body = rest[-1].replace("KEY", key_pair()[1].replace("\n", "\\n")) if rest else None
            sent["POST" if rest else "GET", url.removeprefix("http://127.0.0.1:8000")] = body
            assert rest[:-1] in ([], ["-H", "Content-Type:application/json", "-d"])
    return sent


async def draw_code(client: httpx2.AsyncClient, scene: str) -> None:
    """Draw a mini-program code with this scene, which a phone can scan then."""
    app = {"grant_type": "client_credential", "appid": "wxdemo0123456789ab", "secret": "0" * 32}
    token = (await client.post("/cgi-bin/stable_token", json=app)).json()["access_token"]
    drawn = await client.post("/wxa/getwxacodeunlimit", params={"access_token": token}, json={"scene": scene})
    assert drawn.headers["content-type"] == "image/png"


@each_sandbox_page
def test_the_sandbox_page_has_every_control(page: str) -> None:
    """The page has all controls and no others, each with its fields and its status."""
    routes = [route for route in create_sandbox().routes if isinstance(route, HTTPRoute)]
    handlers: dict[tuple[str, ...], HTTPRouteHandler] = {
        (method, route.path): route.route_handler_map[method][0]
        for route in routes
        for method in route.methods - {"OPTIONS", "HEAD"}
    }
    documented = {tuple(row[0].strip("`").split(" ")): row[1:] for row in sandbox_table(page, "controls")}

    assert set(documented) == set(handlers)
    for name, (body, answer, *_) in documented.items():
        data = handlers[name].parsed_data_field
        assert fields_in(body) == (fields_of(data.annotation) if data else [])
        assert int(answer[:3]) == handlers[name].status_code


@pytest.mark.anyio
@each_sandbox_page
async def test_the_sandbox_pages_commands_work(page: str) -> None:
    """The page has one command for each control, whose answer has the fields in the table."""
    sent = curls_in(page)
    async with in_process() as client:
        await draw_code(client, msgspec.json.decode(sent["POST", "/sandbox/scan"] or "")["scene"])
        for name, _, told, *_ in sandbox_table(page, "controls"):
            method, path = name.strip("`").split(" ")
            answer = await client.request(method, path, content=sent.pop((method, path)), headers=JSON)

            assert answer.status_code == int(told[:3]), answer.text
            if fields_in(told):
                assert list(answer.json()) == fields_in(told)
    assert sent == {}


@each_sandbox_page
def test_the_sandbox_page_has_the_fields_of_a_fault(page: str) -> None:
    """The page has the fields of a fault in the order of the code."""
    documented = [row[0].strip("`") for row in sandbox_table(page, "faults")]

    assert documented == [field.name for field in msgspec.structs.fields(Fault)]


@each_sandbox_page
def test_the_sandbox_page_has_wechats_calls(page: str) -> None:
    """The page has the path, the methods and the signing support of each call."""
    documented = [
        (path.strip("`"), tuple(re.findall("[A-Z]+", methods)), signable in ("yes", "是"))
        for path, methods, signable in sandbox_table(page, "calls")
    ]

    assert documented == [(path, each.methods, each.signable) for path, each in ENDPOINTS.items()]


@pytest.mark.anyio
@each_sandbox_page
async def test_the_sandbox_pages_signing_script_creates_valid_settings(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The script on the page converts the sandbox's answer into settings that load, as in the table."""
    (script,) = re.findall(r"^python3 - > wxlogin.toml <<'END'\n(.*?)^END$", page, re.MULTILINE | re.DOTALL)
    files = tmp_path / "files"
    files.mkdir()
    (files / "key.pem").write_text(key_pair()[0], encoding="utf-8")
    async with in_process() as client:
        told = await client.post("/sandbox/signing", content=curls_in(page)["POST", "/sandbox/signing"], headers=JSON)
    (files / "signing.json").write_bytes(told.content)
    ran = await anyio.run_process([sys.executable, "-c", script], cwd=files)
    (files / "wxlogin.toml").write_bytes(ran.stdout)
    monkeypatch.setenv(CONFIG_VARIABLE, str(files / "wxlogin.toml"))
    fields = told.json() | {"key.pem": key_pair()[0]}
    signing = {key.strip("`"): field.split("`")[1] for key, field in sandbox_table(page, "signing")}

    assert len(open_signers(load_settings(), utc_now)) == 1
    assert list(signing) == list(Signing.model_fields)
    assert tomllib.loads(ran.stdout.decode())["apps"][0]["signing"] == {
        key: fields[field] for key, field in signing.items()
    }


def test_the_sandbox_page_is_the_same_in_both_languages() -> None:
    """The commands without comments, the controls and the faults are the same in both languages."""

    def essence(page: str) -> list[Any]:
        controls = [[row[0], fields_in(row[1]), fields_in(row[2])] for row in sandbox_table(page, "controls")]
        return [re.sub(r" +# .*", "", "".join(blocks(page, "sh"))), controls, set(re.findall(r"\b\d{5}\b", page))]

    english, chinese = map(essence, SANDBOX_PAGES.values())

    assert english == chinese
