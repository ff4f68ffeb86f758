"""The state of a running stack on disk: who holds the data directory, and `runtime.json` for other commands."""

from __future__ import annotations

import fcntl
import os
import tempfile
import time
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path

import orjson

from trueup.model.errors import ConfigurationError, UnavailableError

LOCK_FILE = "supervisor.lock"
RUNTIME_FILE = "runtime.json"
LOCK_ATTEMPTS = 5
LOCK_RETRY_SECONDS = 0.05


class State(StrEnum):
    """Where a service is in its life."""

    STOPPED = "stopped"
    STARTING = "starting"
    READY = "ready"
    BACKOFF = "backoff"
    STOPPING = "stopping"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class ServiceState:
    """One service as other commands see it.

    Args:
        since_us: when it entered this state, microseconds since the epoch.
        restarts: how often it was started again since the supervisor started.
        paused: whether its process is held by SIGSTOP.
        last_error: why it last failed, "" if it never did.
    """

    name: str
    state: State
    pid: int | None
    port: int | None
    restarts: int
    since_us: int
    paused: bool
    last_error: str


@dataclass(frozen=True, slots=True)
class RuntimeState:
    """The content of `runtime.json`."""

    supervisor_pid: int
    started_us: int
    services: tuple[ServiceState, ...]


class DataDirLock:
    """The exclusive right to run a stack, or one of its workers, on a directory; the kernel drops it when the holder dies."""

    def __init__(self, data_dir: Path, file: str = LOCK_FILE) -> None:
        self._path = data_dir / file
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Take the lock.

        Raises:
            ConfigurationError: another process holds it; the error names its pid.
        """
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if not _lock_exclusively(descriptor):
            holder = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip() or "unknown"
            os.close(descriptor)
            raise ConfigurationError(
                f"this data directory is in use by the process with pid {holder}",
                where=str(self._path),
                remedy="stop that process, or choose another data directory",
            )
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode("ascii"), 0)
        self._descriptor = descriptor

    def release(self) -> None:
        """Give the lock back; harmless when it is not held."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def _lock_exclusively(descriptor: int) -> bool:
    """Try a few times: `is_locked` of another command holds the lock for an instant."""
    for _ in range(LOCK_ATTEMPTS):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(LOCK_RETRY_SECONDS)
        else:
            return True
    return False


def is_locked(data_dir: Path) -> bool:
    """Whether a supervisor runs on this data directory now."""
    try:
        descriptor = os.open(data_dir / LOCK_FILE, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def write_runtime(data_dir: Path, runtime: RuntimeState) -> None:
    """Replace `runtime.json` in one step, readable by its owner only."""
    descriptor, name = tempfile.mkstemp(prefix=".runtime-", dir=data_dir)  # created with mode 0600
    with os.fdopen(descriptor, "wb") as file:
        file.write(orjson.dumps(asdict(runtime), option=orjson.OPT_INDENT_2))
    Path(name).replace(data_dir / RUNTIME_FILE)


def read_runtime(data_dir: Path) -> RuntimeState:
    """What runs on a data directory now.

    Raises:
        UnavailableError: nothing runs there (a file left by a supervisor that was killed does not count).
    """
    path = data_dir / RUNTIME_FILE
    if not is_locked(data_dir) or not path.exists():
        raise UnavailableError("no stack is running here", where=str(data_dir), remedy="start one with `trueup up`")
    document = orjson.loads(path.read_bytes())
    services = tuple(ServiceState(**{**row, "state": State(row["state"])}) for row in document["services"])
    return RuntimeState(supervisor_pid=document["supervisor_pid"], started_us=document["started_us"], services=services)
