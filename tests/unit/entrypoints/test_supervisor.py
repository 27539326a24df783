"""The supervisor, with worker processes that run a test's program instead of a server."""

import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from support.servers import wait_until

HEAD = """
import os, signal, sys, time
from entrypoints.http import supervisor, worker_process
from entrypoints.http.listener import Listener
from entrypoints.http.supervisor import Supervisor
from entrypoints.http.worker_process import ALIVE, CLOSE, DRAIN, LEAVING, READY, STOP

supervisor.PAUSE_SECONDS = worker_process.LINGER_SECONDS = 0.05

def say(*words):
    os.write(1, (" ".join(map(str, words)) + "\\n").encode())

def obey(channel):
    say("ready", os.getpid())
    channel.send_bytes(READY)
    say("reported", os.getpid())
    while True:
        order = channel.recv_bytes()
        say(order.decode(), os.getpid())
        if order == STOP:
            return

def run(work, count=1, reload=lambda: 0.0, drain=0.0):
    listener = Listener.open("127.0.0.1", 0)
    Supervisor(listener, work, count, drain_seconds=drain, reload=reload,
               on_serving=lambda: say("serving"), on_end=lambda pid: say("ended", pid)).run()
    say("stopped")
"""


class Supervised:
    """A running supervisor, and the output of it and its workers."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.pid = process.pid
        self.lines: list[str] = []

    def until(self, line: str, times: int = 1) -> list[str]:
        """Return all lines, after a line with this start has occurred so many times."""
        assert self.process.stdout
        while sum(each.startswith(line) for each in self.lines) < times:
            said = self.process.stdout.readline()
            assert said, f"{line} x {times} is not among {self.lines}"
            self.lines.append(said.strip())
        return self.lines

    def pids(self, line: str) -> list[int]:
        """Return the process ids in the lines with this start."""
        return [int(each.split()[1]) for each in self.lines if each.startswith(line)]


@contextmanager
def supervised(program: str) -> Iterator[Supervised]:
    """Run a program with a supervisor until the block ends."""
    script = HEAD + textwrap.dedent(program)
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, stderr=subprocess.DEVNULL
    ) as process:
        try:
            yield Supervised(process)
        finally:
            process.kill()


def has_ended(pid: int) -> bool:
    """Return whether a process has ended."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"


@pytest.mark.parametrize("count", [1, 3])
def test_a_stop_orders_drain_close_and_stop(count: int) -> None:
    """Each worker gets drain, close and stop in this order. The supervisor returns when the last worker has ended."""
    with supervised(f"run(obey, {count}, drain=0.1)") as running:
        running.until("reported", count)
        running.until("serving")
        os.kill(running.pid, signal.SIGTERM)
        lines = [line for line in running.until("stopped") if not line.startswith("reported")]

        for pid in running.pids("ready"):
            heard = [line.split()[0] for line in lines if line.endswith(f" {pid}")]
            assert heard == ["ready", "drain", "close", "stop", "ended"]
        assert running.process.wait(10) == 0


@pytest.mark.parametrize("count", [1, 3])
def test_a_reload_starts_each_successor_first(count: int) -> None:
    """A reload closes each worker only after its successor is ready.

    No worker gets drain, and their number stays the same.
    """
    with supervised(f"run(obey, {count})") as running:
        running.until("reported", count)
        running.until("serving")
        os.kill(running.pid, signal.SIGHUP)
        lines = running.until("ended", count)
        order = [line.split()[0] for line in lines if line.split()[0] in ("ready", "close", "ended")]

        assert order == ["ready"] * count + ["ready", "close", "ended"] * count
        assert not [line for line in lines if line.startswith("drain")]
        assert len(set(running.pids("ready"))) == 2 * count


def test_wrong_settings_replace_no_worker() -> None:
    """When the settings cannot be read, the workers are not replaced."""
    program = """
    from entrypoints.settings import SettingsError
    def wrong():
        say("refused")
        raise SettingsError("wrong")
    run(obey, 1, wrong)
    """
    with supervised(program) as running:
        running.until("serving")
        os.kill(running.pid, signal.SIGHUP)
        running.until("refused")
        os.kill(running.pid, signal.SIGTERM)

        assert len([line for line in running.until("stopped") if line.startswith("ready")]) == 1


def test_a_failed_successor_replaces_no_worker() -> None:
    """When a new worker fails to start, the old one stays, and the next reload succeeds."""
    program = """
    starts = []
    def work(channel):
        if len(starts) == 2:
            say("failing", os.getpid())
            sys.exit(3)
        obey(channel)
    def reload():
        starts.append(1)
        return 0.0
    starts.append(1)
    run(work, 1, reload)
    """
    with supervised(program) as running:
        running.until("serving")
        os.kill(running.pid, signal.SIGHUP)
        running.until("failing")
        running.until("ended")
        assert not [line for line in running.lines if line.startswith(("close", "stop"))]
        os.kill(running.pid, signal.SIGHUP)
        running.until("ready", 2)
        running.until("ended", 2)

        assert running.pids("stop") == running.pids("ready")[:1]


def test_a_killed_worker_is_replaced() -> None:
    """After SIGKILL of a worker another one starts, and no other worker is affected."""
    with supervised("run(obey, 2)") as running:
        running.until("ready", 2)
        running.until("serving")
        victim = running.pids("ready")[0]
        os.kill(victim, signal.SIGKILL)
        running.until("ready", 3)

        assert running.pids("ended") == [victim]


def test_a_worker_that_leaves_is_replaced_first() -> None:
    """A worker that reports that it leaves gets a successor before it is closed."""
    program = """
    def work(channel):
        signal.signal(signal.SIGTERM, lambda *_: channel.send_bytes(LEAVING))
        obey(channel)
    run(work)
    """
    with supervised(program) as running:
        running.until("serving")
        running.until("reported")
        os.kill(running.pids("ready")[0], signal.SIGTERM)
        lines = running.until("ended")

        order = [line.split()[0] for line in lines if not line.startswith(("serving", "reported"))]
        assert order == ["ready", "ready", "close", "stop", "ended"]


def test_a_worker_that_does_not_stop_is_killed() -> None:
    """A worker that ignores STOP is killed, and only one successor is started."""
    program = """
    worker_process.FINISH_SECONDS = -0.5
    def work(channel):
        say("ready", os.getpid())
        channel.send_bytes(READY)
        time.sleep(60)
    run(work)
    """
    with supervised(program) as running:
        running.until("serving")
        os.kill(running.pid, signal.SIGHUP)
        running.until("ended")
        time.sleep(0.3)  # as long as a third one would take
        os.kill(running.pid, signal.SIGTERM)
        running.until("stopped")

        assert len(running.pids("ready")) == 2


def test_a_first_worker_that_fails_ends_the_service() -> None:
    """When no worker starts, the supervisor raises StartFailed with the worker's status."""
    program = """
    from entrypoints.http.supervisor import StartFailed
    try:
        run(lambda channel: sys.exit(5))
    except StartFailed as error:
        say("failed", error.status)
    """
    with supervised(program) as running:
        assert running.until("failed")[-1] == "failed 5"


def test_workers_end_after_the_supervisor_is_killed() -> None:
    """When the supervisor is killed, the channel of each worker ends, also of those forked first."""
    program = """
    def work(channel):
        channel.send_bytes(READY)
        say("reported", os.getpid())
        try:
            channel.recv_bytes()
        except (EOFError, OSError):
            say("orphaned", os.getpid())
    run(work, 3)
    """
    with supervised(program) as running:
        running.until("reported", 3)
        running.process.kill()
        running.until("orphaned", 3)

        wait_until(lambda: all(map(has_ended, running.pids("reported"))), "the workers' end")


def test_the_socket_listens_only_after_listen() -> None:
    """The socket reserves its address when it opens, and accepts connections only after listen()."""
    from entrypoints.http.listener import Listener

    listener = Listener.open("127.0.0.1", 0)
    address = listener.socket.getsockname()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address, timeout=5)
    listener.listen()

    socket.create_connection(address, timeout=5).close()
    listener.close()
