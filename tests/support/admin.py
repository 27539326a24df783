"""`wxlogin admin` as operators run it, and its callers."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import httpx2

from domain.admin import digest_of
from support import plain_http
from support.processes import Environment, Running, running
from support.servers import migrate_database, wait_until

KEYS = {
    "reader": ("wxadmin_key-of-the-reader", ["read"]),
    "writer": ("wxadmin_key-of-the-writer", ["write"]),
    "eraser": ("wxadmin_key-of-the-eraser", ["erase"]),
    "ann": ("wxadmin_key-of-ann", ["read", "write", "erase"]),
}
"""The keys of the tests, by the name of their owner, with their scopes."""

ADMIN_KEYS = json.dumps({name: {"sha256": digest_of(key), "scopes": scopes} for name, (key, scopes) in KEYS.items()})
"""The same, as WXLOGIN_ADMIN_KEYS has them."""


class AdminApi:
    """A running admin API, with an HTTP client."""

    def __init__(self, process: Running, client: httpx2.Client) -> None:
        self.process = process
        self.http = client
        self.url = str(client.base_url)

    def send(self, method: str, path: str, name: str = "ann", **request: Any) -> httpx2.Response:
        """Send a request with the key of this owner to a path below /admin/v1."""
        headers = {"Authorization": f"Bearer {KEYS[name][0]}", **request.pop("headers", {})}
        return self.http.request(method, f"/admin/v1{path}", headers=headers, **request)

    def get(self, path: str, **params: str) -> Any:
        """Send a GET, which must succeed, and return the body."""
        answer = self.send("GET", path, params=params)
        assert answer.status_code == 200, answer.text
        return answer.json()


@contextmanager
def admin_api(settings: Mapping[str, str], *arguments: str) -> Iterator[AdminApi]:
    """Run `wxlogin admin` on a migrated database until the block ends."""
    env: Environment = {"WXLOGIN_ADMIN_KEYS": ADMIN_KEYS, **settings}
    migrate_database(env["WXLOGIN_DATABASE_URL"])
    with running("admin", "--port", "0", *arguments, env=env) as process:
        url = process.event("serving")["url"]
        with plain_http.client(base_url=url) as client:
            wait_until(lambda: client.get("/healthz").status_code == 200, "admin")
            yield AdminApi(process, client)
