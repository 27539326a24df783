"""Which call a fault falls on."""

import msgspec
import pytest

from wechat_sandbox.errors import ControlRefused
from wechat_sandbox.faults import MAX_WAITING, Fault, Faults

LOGIN, TOKEN = "/sns/jscode2session", "/cgi-bin/stable_token"


def test_a_path_has_no_fault_by_default() -> None:
    """A path nobody asked a fault for has none."""
    assert Faults().take(LOGIN) is None


def test_faults_come_in_order_as_often_as_asked() -> None:
    """Faults of a path come first in, first out, each as many times as it says, and then no more."""
    faults = Faults()
    busy, dropped = Fault(LOGIN, errcode=-1, times=2), Fault(LOGIN, drop=True)
    faults.add(busy)
    faults.add(dropped)

    assert [faults.take(LOGIN) for _ in range(4)] == [busy, busy, dropped, None]


def test_a_fault_is_of_one_path() -> None:
    """Calls of another path neither fail nor count."""
    faults = Faults()
    fault = Fault(LOGIN, status=502)
    faults.add(fault)

    assert faults.take(TOKEN) is None
    assert faults.take(LOGIN) is fault


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({}, "needs errcode"),
        ({"delay_seconds": 0}, "needs errcode"),
        ({"errcode": 0}, "success"),
        ({"drop": True, "status": 502}, "drop is no answer"),
        ({"drop": True, "body": None}, "drop is no answer"),
        ({"errcode": -1, "body": "{}"}, "give one"),
        ({"status": 204, "body": "{}"}, "no body"),
        ({"status": 304, "errcode": -1}, "no body"),
        ({"executed": True, "delay_seconds": 1}, "executed anyway"),
        ({"path": "sns", "drop": True}, "path is 'sns'"),
        ({"path": "/sandbox", "drop": True}, "path is '/sandbox'"),
        ({"path": "/sandbox/codes", "drop": True}, "path is '/sandbox/codes'"),
    ],
)
def test_a_fault_that_makes_no_sense_is_refused(fields: dict[str, object], reason: str) -> None:
    """A fault that could not happen, or would do nothing, is refused with the reason."""
    with pytest.raises(ControlRefused, match=reason):
        msgspec.structs.replace(Fault(LOGIN, status=500), **{"status": None, **fields})


def test_only_so_many_faults_wait() -> None:
    """More faults than memory has room for are refused, until some have happened."""
    faults = Faults()
    for number in range(MAX_WAITING):
        faults.add(Fault(f"/{number}", drop=True))

    with pytest.raises(ControlRefused, match="1000 faults"):
        faults.add(Fault(LOGIN, drop=True))
    faults.take("/0")
    faults.add(Fault(LOGIN, drop=True))
