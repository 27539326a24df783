"""Faults: calls that fail on purpose."""

from collections import deque
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta

from wechat_sandbox.errors import ControlRefused

BODILESS = {204, 304}
MAX_WAITING = 1000


class Fault(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the next `times` calls of `path` fail, after `delay_seconds` of real time.

    - `errcode` answers WeChat's error body, `body` this text (any other JSON value: as JSON), and `status`
      this HTTP status, alone or with one of the two.
    - `drop` hangs up without an answer, and goes with a delay only.
    - A delay with nothing else answers normally, late.
    - A call that fails never reaches WeChat's rules: it spends no code. With `executed` it is carried out first,
      and only its answer is lost, or replaced by the fault's.
    """

    path: str
    errcode: int | None = None
    status: Annotated[int, Meta(ge=200, le=599)] | None = None
    delay_seconds: Annotated[float, Meta(ge=0, le=600)] = 0
    drop: bool = False
    body: Any = UNSET
    executed: bool = False
    times: Annotated[int, Meta(ge=1)] = 1

    def __post_init__(self) -> None:
        """Raise ControlRefused for an impossible fault, and for one without effect."""
        if not self.path.startswith("/") or f"{self.path}/".startswith("/sandbox/"):
            raise ControlRefused(f"path is {self.path!r}, but should be WeChat's, such as /sns/jscode2session")
        if not (self.answers or self.drop or self.delay_seconds):
            raise ControlRefused("a fault needs errcode, status, body, drop or delay_seconds")
        if self.executed and not (self.answers or self.drop):
            raise ControlRefused("a call that is only delayed is executed anyway")
        if self.drop and self.answers:
            raise ControlRefused("drop is no answer, so it cannot go with errcode, status or body")
        if self.errcode is not None and self.body is not UNSET:
            raise ControlRefused("errcode and body both say what the body is: give one of them")
        if self.status in BODILESS and (self.errcode is not None or self.body is not UNSET):
            raise ControlRefused(f"status {self.status} has no body, so it cannot go with errcode or body")
        if self.errcode == 0:
            raise ControlRefused("errcode 0 is success")

    @property
    def answers(self) -> bool:
        """Return whether this fault replaces WeChat's response."""
        return self.errcode is not None or self.status is not None or self.body is not UNSET

    @property
    def raw_body(self) -> bytes:
        """Return the body that replaces WeChat's error."""
        if self.body is UNSET:
            return b""
        return self.body.encode() if isinstance(self.body, str) else msgspec.json.encode(self.body)


class Faults:
    """Queues of faults, one for each path."""

    def __init__(self) -> None:
        self._waiting: dict[str, deque[tuple[Fault, int]]] = {}

    def add(self, fault: Fault) -> None:
        """Add `fault` after the others of its path. Raises ControlRefused beyond 1,000 in total."""
        if sum(map(len, self._waiting.values())) >= MAX_WAITING:
            raise ControlRefused(f"{MAX_WAITING} faults wait already")
        self._waiting.setdefault(fault.path, deque()).append((fault, fault.times))

    def take(self, path: str) -> Fault | None:
        """Return the fault of this call of `path`, and count it."""
        if not (waiting := self._waiting.get(path)):
            return None
        fault, times = waiting.popleft()
        if times > 1:
            waiting.appendleft((fault, times - 1))
        elif not waiting:
            del self._waiting[path]
        return fault
