"""The demo's login as a sequence diagram in the terminal."""

from rich.console import Console
from rich.text import Text

from entrypoints.demo.page import ConsoleAccess
from entrypoints.demo.trace import Trace

LANES = {
    "client": "小程序 client",
    "wxlogin": "wxlogin",
    "identities": "WeChat (sandbox)",
    "user_repository": "users (SQLite)",
    "session_store": "sessions (SQLite)",
}
WIDTH = 22
COLUMN = {lane: 6 + index * WIDTH for index, lane in enumerate(LANES)}
TIME_COLUMN = 6 + len(LANES) * WIDTH - 12


class Diagram:
    """The calls of a login in their order, with their times."""

    def __init__(self, token: str, trace: Trace) -> None:
        self._token = token
        self._trace = trace

    def show(self, url: str, appid: str, access: ConsoleAccess | None) -> None:
        """Print the diagram, and, if the demo goes on, commands to try next."""
        console = Console(highlight=False, width=max(Console().width, TIME_COLUMN + 14))
        console.print()
        console.print(_header(), style="bold")
        console.print(_lifelines())
        for line in self._lines():
            console.print(line)
        console.print(_lifelines())
        console.print()
        console.print(f"One login took [bold]{self._trace.took:.1f} ms[/]. The token, shown only here:")
        console.print(f"  {self._token}\n", style="green")
        if access:
            self._show_next(console, url, appid, access)

    def _lines(self) -> list[Text]:
        lines = [_arrow("client", "wxlogin", "POST /login/", 0)]
        for step in self._trace.steps:
            lines.append(_arrow("wxlogin", step.port, step.call, step.began))
            lines.append(_arrow(step.port, "wxlogin", step.answer, step.ended))
        return [*lines, _arrow("wxlogin", "client", "token", self._trace.took)]

    def _show_next(self, console: Console, url: str, appid: str, access: ConsoleAccess) -> None:
        bearer = f"-H 'Authorization: Bearer {self._token}'"
        ordered = f"""curl -s {url}/sandbox/codes -H Content-Type:application/json -d '{{"appid":"{appid}"}}'"""
        code = f"""$({ordered} | sed 's/.*"code":"\\([^"]*\\)".*/\\1/')"""
        tries = {
            "who is calling, as a gateway asks": f"curl -i {url}/auth {bearer}",
            "the user": f"curl {url}/v1/me {bearer}",
            "where they are logged in": f"curl {url}/v1/sessions {bearer}",
            "log in again, with a new code of the sandbox": f"""curl {url}/login/ -d "{{\\"code\\":\\"{code}\\"}}" """,
            "log out": f"curl -i -X DELETE {url}/v1/sessions/current {bearer}",
        }
        console.print("Try next:")
        for purpose, command in tries.items():
            console.print(f"  # {purpose}", style="dim")
            console.print(f"  {command.strip()}", soft_wrap=True, markup=False)
        console.print(f"\nThe same in a browser, with what can go wrong: [bold]{url}/[/]")
        console.print(f"The console of operators: [bold]{access.url}[/]   Its admin key: {access.key}", soft_wrap=True)
        console.print(f"The API: [bold]{url}/docs[/]   Stop with Ctrl-C.")


def _header() -> Text:
    line = Text()
    for lane, name in LANES.items():
        title = Text(name)
        title.pad_left(max(0, COLUMN[lane] - title.cell_len // 2 - line.cell_len))
        line.append_text(title)
    return line


def _lifelines() -> Text:
    return Text(_canvas(dict.fromkeys(COLUMN.values(), "│")), style="dim")


def _arrow(source: str, target: str, label: str, milliseconds: float) -> Text:
    start, end = sorted((COLUMN[source], COLUMN[target]))
    to_right = COLUMN[source] == start
    shaft = f"─ {label} ".ljust(end - start - 1, "─") if to_right else f" {label} ─".rjust(end - start - 1, "─")
    drawn = f"├{shaft}▶" if to_right else f"◀{shaft}┤"
    marks = {column: "│" for column in COLUMN.values() if not start <= column <= end}
    line = _canvas(marks | {start + offset: character for offset, character in enumerate(drawn)})
    text = Text(line.ljust(TIME_COLUMN), style="dim")
    text.stylize("not dim cyan" if to_right else "not dim green", start, end + 1)
    return text.append(f"{milliseconds:5.1f} ms", style="not dim")


def _canvas(marks: dict[int, str]) -> str:
    return "".join(marks.get(column, " ") for column in range(max(marks) + 1))
