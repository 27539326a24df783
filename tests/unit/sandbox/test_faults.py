"""Faults, and the calls to which they apply."""

import msgspec
import pytest

from wechat_sandbox.errors import ControlRefused
from wechat_sandbox.faults import MAX_WAITING, Fault, Faults

LOGIN, TOKEN = "/sns/jscode2session", "/cgi-bin/stable_token"


def test_a_path_has_no_fault_by_default() -> None:
    """A path without a fault returns none."""
    assert Faults().take(LOGIN) is None


def test_faults_occur_in_order_and_number() -> None:
    """The faults of a path occur in their order, each the given number of times."""
    faults = Faults()
    busy, dropped = Fault(LOGIN, errcode=-1, times=2), Fault(LOGIN, drop=True)
    faults.add(busy)
    faults.add(dropped)

    assert [faults.take(LOGIN) for _ in range(4)] == [busy, busy, dropped, None]


def test_a_fault_applies_to_one_path() -> None:
    """A fault of one path does not apply to calls of another path, which do not count."""
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
def test_an_invalid_fault_is_refused(fields: dict[str, object], reason: str) -> None:
    """A fault that cannot occur or has no effect is refused with the reason."""
    with pytest.raises(ControlRefused, match=reason):
        msgspec.structs.replace(Fault(LOGIN, status=500), **{"status": None, **fields})


def test_the_number_of_waiting_faults_is_limited() -> None:
    """The number of waiting faults is limited."""
    faults = Faults()
    for number in range(MAX_WAITING):
        faults.add(Fault(f"/{number}", drop=True))

    with pytest.raises(ControlRefused, match="1000 faults"):
        faults.add(Fault(LOGIN, drop=True))
    faults.take("/0")
    faults.add(Fault(LOGIN, drop=True))
