"""The sandbox on a real server."""

import socket

import httpx2
import pytest

PATH = "/sns/jscode2session"


def test_a_dropped_call_closes_the_connection(served: httpx2.Client) -> None:
    """The connection of a dropped call closes, and the client's next call succeeds."""
    served.post("/sandbox/faults", json={"path": PATH, "drop": True})

    with pytest.raises(httpx2.RemoteProtocolError, match="without sending a response"):
        served.get(PATH)
    assert served.get(PATH).json()["errcode"] == 41002


def test_a_dropped_call_gets_no_byte(served: httpx2.Client) -> None:
    """A dropped call gets no byte before the connection closes."""
    served.post("/sandbox/faults", json={"path": PATH, "drop": True})

    with socket.create_connection((served.base_url.host, served.base_url.port or 0), timeout=5) as raw:
        raw.sendall(f"GET {PATH} HTTP/1.1\r\nHost: sandbox\r\n\r\n".encode())

        assert raw.recv(1) == b""


@pytest.mark.parametrize("status", [204, 304, 418, 500, 599])
def test_any_status_can_be_served(served: httpx2.Client, status: int) -> None:
    """The status of a fault is sent, and the next call succeeds."""
    served.post("/sandbox/faults", json={"path": PATH, "status": status})

    assert served.get(PATH).status_code == status
    assert served.get(PATH).status_code == 200


def test_a_large_body_is_refused_on_the_wire(served: httpx2.Client) -> None:
    """A much too large body is 413, and the client's next call succeeds."""
    assert served.post("/cgi-bin/stable_token", content=b"x" * 5_000_000).status_code == 413
    assert served.get(PATH).json()["errcode"] == 41002
