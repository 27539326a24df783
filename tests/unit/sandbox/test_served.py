"""The sandbox behind a real server."""

import socket

import httpx2
import pytest

PATH = "/sns/jscode2session"


def test_a_dropped_call_is_a_broken_connection(served: httpx2.Client) -> None:
    """The client of a dropped call sees the connection close, and its next call works."""
    served.post("/sandbox/faults", json={"path": PATH, "drop": True})

    with pytest.raises(httpx2.RemoteProtocolError, match="without sending a response"):
        served.get(PATH)
    assert served.get(PATH).json()["errcode"] == 41002


def test_a_dropped_call_has_not_a_byte_of_answer(served: httpx2.Client) -> None:
    """Nothing at all is on the wire before the connection closes."""
    served.post("/sandbox/faults", json={"path": PATH, "drop": True})

    with socket.create_connection((served.base_url.host, served.base_url.port or 0), timeout=5) as wire:
        wire.sendall(f"GET {PATH} HTTP/1.1\r\nHost: sandbox\r\n\r\n".encode())

        assert wire.recv(1) == b""


@pytest.mark.parametrize("status", [204, 304, 418, 500, 599])
def test_any_status_can_be_served(served: httpx2.Client, status: int) -> None:
    """A fault's status goes over the wire, and the connection lives on."""
    served.post("/sandbox/faults", json={"path": PATH, "status": status})

    assert served.get(PATH).status_code == status
    assert served.get(PATH).status_code == 200


def test_a_large_body_is_refused_on_the_wire(served: httpx2.Client) -> None:
    """A client that sends far too much gets its 413, and its next call works."""
    assert served.post("/cgi-bin/stable_token", content=b"x" * 5_000_000).status_code == 413
    assert served.get(PATH).json()["errcode"] == 41002
