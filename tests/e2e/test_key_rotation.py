"""Signing keys are replaced under load, and no backend that caches the published keys refuses a token."""

import json
import re
import signal
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path

import httpx2
import jwt
import pytest

from support import plain_http
from support.faults import workers_of
from support.jwts import AUDIENCE, ISSUER, Claims, Jwk, decoded, exchange, signing, signing_key, thumbprint
from support.processes import Environment, Sandbox, Service, environment, service
from support.servers import migrate_database, wait_until

OLD, NEW = signing_key(), signing_key()

HURRY = 100
"""The clock of the backends' caches runs so many times as fast: their five minutes are three seconds."""

LIFE_SECONDS = 10
"""The life of a token."""

MARGIN_SECONDS = 2
"""How long before its expiry a token is not sent any more, because the machine may be busy."""


class BackendCache:
    """A backend that fetches the published keys only when their max-age is over, and not for an unknown key."""

    def __init__(self, url: str) -> None:
        self.fetches = 0
        self._url = url
        self._keys: dict[str, jwt.PyJWK] = {}
        self._expires = 0.0

    def read(self, token: str) -> Claims:
        """Return the claims of a token. Raises KeyError for a key that is not in the cache, and PyJWTError."""
        if time.monotonic() >= self._expires:
            answer = plain_http.fetch(f"{self._url}/.well-known/jwks.json").raise_for_status()
            age = int(re.fullmatch(r"max-age=(\d+)", answer.headers["cache-control"])[1])  # type: ignore[index]  # asserts
            self._keys = {key["kid"]: jwt.PyJWK(key) for key in answer.json()["keys"]}
            self._expires = time.monotonic() + age / HURRY
            self.fetches += 1
        key = self._keys[jwt.get_unverified_header(token)["kid"]]
        claims: Claims = jwt.decode(token, key, ["ES256"], issuer=ISSUER, audience=AUDIENCE)
        return claims


class Traffic:
    """Requests with signed tokens, fresh and old, from the gateway's header and from the exchange."""

    def __init__(self, url: str, session_tokens: list[str]) -> None:
        self.accepted: Counter[str] = Counter()
        """By the kid of the token."""
        self.failures: list[str] = []
        self.backends = [BackendCache(url) for _ in range(3)]
        self._url = url
        self._session_tokens = cycle(session_tokens)
        self._issued: deque[str] = deque(maxlen=1000)
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._work, args=[backend]) for backend in self.backends]

    @contextmanager
    def running(self) -> Iterator[None]:
        """Send requests until the block ends."""
        for thread in self._threads:
            thread.start()
        try:
            yield
        finally:
            self._over.set()
            for thread in self._threads:
                thread.join()

    def wait_for_fetches(self) -> None:
        """Wait until every backend has fetched the keys twice: the first answer may have been on its way."""
        before = [backend.fetches for backend in self.backends]
        wait_until(
            lambda: all(backend.fetches > seen + 1 for backend, seen in zip(self.backends, before, strict=True)),
            "fetches",
        )

    def wait_for(self, key: Jwk, number: int = 50) -> None:
        """Wait until so many more tokens of this key were accepted."""
        before = self.accepted[thumbprint(key)]
        wait_until(
            lambda: bool(self.failures) or self.accepted[thumbprint(key)] >= before + number, "tokens of the key"
        )

    def wait_for_expiry(self) -> None:
        """Wait until all tokens that were issued before have expired."""
        last = max(map(expiry, list(self._issued)))
        wait_until(lambda: time.time() > last, "the end of the old tokens")

    def _work(self, backend: BackendCache) -> None:
        takes = (self._from_gateway, self._from_exchange, self._from_earlier)
        while not self._over.is_set():
            with plain_http.client(base_url=self._url) as http:  # a new connection goes to any process
                for take in takes:
                    self._try(backend, http, take)
            self._over.wait(0.01)

    def _try(self, backend: BackendCache, http: httpx2.Client, take: Callable[[httpx2.Client], str]) -> None:
        try:
            token = take(http)
            backend.read(token)
            self.accepted[jwt.get_unverified_header(token)["kid"]] += 1
        except (httpx2.HTTPError, KeyError, jwt.PyJWTError) as error:
            self.failures.append(f"{take.__name__}: {error!r}")

    def _from_gateway(self, http: httpx2.Client) -> str:
        answer = http.get("/auth", headers={"Authorization": f"Bearer {next(self._session_tokens)}"})
        return self._keep(answer.raise_for_status().headers["x-user-assertion"])

    def _from_exchange(self, http: httpx2.Client) -> str:
        answer = http.post("/oauth2/token", data=exchange(next(self._session_tokens)))
        return self._keep(answer.raise_for_status().json()["access_token"])

    def _from_earlier(self, _http: httpx2.Client) -> str:
        """Return the oldest token that does not expire at this moment."""
        return next(token for token in list(self._issued) if expiry(token) > time.time() + MARGIN_SECONDS)

    def _keep(self, token: str) -> str:
        self._issued.append(token)
        return token


def expiry(token: str) -> float:
    """Return when a token expires."""
    return float(decoded(token.split(".")[1])["exp"])


@pytest.fixture
def keys_file(tmp_path: Path) -> Path:
    """The secret file of the signing keys."""
    directory = tmp_path / "secrets"
    directory.mkdir()
    return directory / "signing_keys"


@pytest.fixture
def env(sandbox: Sandbox, sqlite_url: str, keys_file: Path) -> Environment:
    """The settings of a service that signs with OLD."""
    keys_file.write_text(json.dumps([OLD]), "utf-8")
    settings = signing(OLD, assertion_audience=AUDIENCE, jwt_seconds=str(LIFE_SECONDS), sessions_per_user="0")
    del settings["signing_keys"]
    migrate_database(sqlite_url)
    env = environment(database_url=sqlite_url, wechat_url=sandbox.url, **settings)
    return env | {"WXLOGIN_SECRETS_DIR": str(keys_file.parent)}


def change_keys(running: Service, keys_file: Path, *keys: Jwk) -> None:
    """Write the keys, send SIGHUP, and wait until all processes are new."""
    keys_file.write_text(json.dumps(keys), "utf-8")
    old = set(workers_of(running))
    running.process.process.send_signal(signal.SIGHUP)
    wait_until(lambda: old.isdisjoint(workers_of(running)) and len(workers_of(running)) == len(old), "new processes")


@pytest.mark.parametrize("workers", [1, 2])
def test_a_rotation_fails_no_request(env: Environment, sandbox: Sandbox, keys_file: Path, workers: int) -> None:
    """During the rotation of docs/operations.md, every token is accepted by every backend.

    The new key is published before it signs, and the old one for as long as its tokens live.
    """
    with service(workers=workers, env=env) as running:
        traffic = Traffic(running.url, [running.log_in(sandbox.code())["token"] for _ in range(60)])
        with traffic.running():
            traffic.wait_for(OLD)
            change_keys(running, keys_file, OLD, NEW)
            traffic.wait_for_fetches()
            change_keys(running, keys_file, NEW, OLD)
            traffic.wait_for(NEW)
            traffic.wait_for_expiry()
            change_keys(running, keys_file, NEW)
            traffic.wait_for_fetches()
            traffic.wait_for(NEW)
        published = running.http.get("/.well-known/jwks.json").json()["keys"]

    assert traffic.failures == []
    assert set(traffic.accepted) == {thumbprint(OLD), thumbprint(NEW)}
    assert [key["kid"] for key in published] == [thumbprint(NEW)]


def test_a_hasty_rotation_is_noticed(env: Environment, sandbox: Sandbox, keys_file: Path) -> None:
    """A key that signs at once fails requests: the backends of this test do not know it yet."""
    with service(env=env) as running:
        traffic = Traffic(running.url, [running.log_in(sandbox.code())["token"] for _ in range(60)])
        with traffic.running():
            traffic.wait_for(OLD)
            change_keys(running, keys_file, NEW, OLD)
            wait_until(lambda: bool(traffic.failures), "a refused token")

    assert {failure.partition(": ")[2] for failure in traffic.failures} == {repr(KeyError(thumbprint(NEW)))}
