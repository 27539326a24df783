"""`wxlogin demo` as a user sees it."""

import re

from support.processes import Running
from support.servers import wait_until


class Demo:
    """A running demo, and its output."""

    def __init__(self, process: Running) -> None:
        self.process = process
        wait_until(lambda: "Ctrl-C" in process.text() or process.process.poll() is not None, "the demo")
        self.url = re.search(r"The API: (http://127\.0\.0\.1:\d+)/docs", process.text())[1]  # type: ignore[index]
        printed = re.findall(r"^  # (.+)\n  (curl .+)$", process.text(), re.MULTILINE)
        self.token = re.search(r"shown only here:\n  (\S+)\n", process.text())[1]  # type: ignore[index]
        self.commands: dict[str, str] = dict(printed)
