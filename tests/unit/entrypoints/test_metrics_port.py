"""The port of the metrics, which several processes may share."""

import socket
from contextlib import ExitStack

import pytest

from entrypoints.metrics import Metrics
from entrypoints.metrics_port import open_metrics_port, serving_metrics
from entrypoints.settings import SettingsError
from support.scrapes import scrape


def url_of(listener: socket.socket) -> str:
    """Return the URL of a listening socket."""
    return f"http://127.0.0.1:{listener.getsockname()[1]}"


def test_two_processes_share_the_port() -> None:
    """While two servers have the socket, each scrape is answered, and after one of them has stopped, too."""
    with ExitStack() as last, open_metrics_port("127.0.0.1", 0) as listener:
        last.enter_context(serving_metrics(Metrics(), listener.dup()))
        with serving_metrics(Metrics(), listener.dup()):
            for _ in range(20):
                assert scrape(url_of(listener)).total("wxlogin_build_info") == 1

        for _ in range(20):
            assert scrape(url_of(listener)).total("wxlogin_build_info") == 1


def test_a_client_that_sends_nothing_delays_no_scrape() -> None:
    """While connections are open that send nothing, scrapes are answered, and the end of the server waits for none."""
    with (
        open_metrics_port("127.0.0.1", 0) as listener,
        ExitStack() as clients,
        serving_metrics(Metrics(), listener.dup()),
    ):
        for _ in range(5):
            clients.enter_context(socket.create_connection(listener.getsockname()))

        assert scrape(url_of(listener)).total("wxlogin_build_info") == 1


def test_an_address_of_another_machine_is_refused() -> None:
    """An address that is not of this machine is a wrong setting, and the message names the option."""
    with pytest.raises(SettingsError, match="--metrics-port"):
        open_metrics_port("192.0.2.1", 0)
