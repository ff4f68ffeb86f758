"""Runs the services of one data directory as child processes: in order, watched, restarted, and stopped in reverse."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import FrameType

import structlog

from trueup.embedded.child import Child
from trueup.embedded.logs import rotate, tail
from trueup.embedded.runtime import DataDirLock, RuntimeState, ServiceState, State, write_runtime
from trueup.embedded.scrape_targets import write_targets
from trueup.embedded.service import Backoff, Service
from trueup.model.errors import ConfigurationError, TrueupError, UnavailableError

_logger = structlog.get_logger()

TICK_SECONDS = 0.05
ROTATE_EVERY_SECONDS = 1.0


def _wall_clock_us() -> int:
    return time.time_ns() // 1000


class Supervisor:
    """One per data directory, started once.

    `start` waits until every service is ready and `stop` until every one has ended; `run` does both around a wait for
    SIGINT or SIGTERM. All methods may be called from any thread (from asyncio with `asyncio.to_thread`); `run` from
    the main thread only. The children die with this process, even when it is killed.

    Args:
        data_dir: made if absent; takes the lock, `runtime.json`, `prometheus-targets.json` and `log/<name>.log`.
        services: started in this order; a service starts when the awaited ones of the groups before it have been ready.
        templates: group name → function of a number ≥ 1 that makes the service `<group>-<number>`, for `scale`.
        backoff: delays and bounds of restarts.
        monotonic: seconds, for delays.
        now_us: microseconds since the epoch, for display.
    """

    def __init__(
        self,
        data_dir: Path,
        services: Iterable[Service] = (),
        *,
        templates: Mapping[str, Callable[[int], Service]] | None = None,
        backoff: Backoff | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        now_us: Callable[[], int] = _wall_clock_us,
    ) -> None:
        self._data_dir = data_dir
        self._templates = dict(templates or {})
        self._backoff = backoff or Backoff()
        self._monotonic = monotonic
        self._now_us = now_us
        self._lock = threading.RLock()
        self._children: dict[str, Child] = {}
        self._data_dir_lock = DataDirLock(data_dir)
        self._thread: threading.Thread | None = None
        self._crash: Exception | None = None
        self._wake = threading.Event()
        self._stopping = False
        self._signalled = False
        self._started_us = 0
        self._rotated_at = 0.0
        for service in services:
            self._insert(service)

    def run(self, on_ready: Callable[[], None] | None = None) -> None:
        """Start everything, call `on_ready`, wait for SIGINT or SIGTERM, stop everything.

        Raises:
            TrueupError: as `start`; whatever did start has been stopped again.
        """
        previous = {number: signal.signal(number, self._on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            self.start()
            if on_ready is not None and not self._signalled:
                on_ready()
            # A flag and short sleeps: a handler that set an Event could meet the lock it interrupted.
            while not self._signalled and self._crash is None:
                time.sleep(TICK_SECONDS)
            self._raise_crash()
        finally:
            try:
                self.stop()
            finally:
                for number, handler in previous.items():
                    signal.signal(number, handler)

    def start(self) -> None:
        """Start the services in order and return when all are ready (or a signal has asked `run` to end).

        Raises:
            ConfigurationError: the data directory is in use, or a service cannot be started as it is set up.
            TrueupError: a service did not get ready; `where` has the end of its log. The others have been stopped.
        """
        if self._started_us:
            raise RuntimeError("a supervisor is started once")
        self._data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._data_dir_lock.acquire()
        self._started_us = self._now_us()
        self._thread = threading.Thread(target=self._watch, name="supervisor", daemon=True)
        self._thread.start()
        try:
            self.wait_ready()
        except BaseException:
            self.stop()
            raise

    def wait_ready(self, timeout_seconds: float | None = None) -> None:
        """Return when all services are ready.

        Raises:
            TrueupError: one has failed for good; `where` has the end of its log.
            UnavailableError: the time is over.
        """
        deadline = None if timeout_seconds is None else self._monotonic() + timeout_seconds
        while not self._signalled:
            self._raise_crash()
            children = self._all()
            for child in children:
                if child.state is State.FAILED:
                    raise _start_error(child)
            waiting = [child for child in children if child.state is not State.READY]
            if not waiting:
                return
            if deadline is not None and self._monotonic() >= deadline:
                raise UnavailableError(
                    f"not ready in time: {', '.join(child.service.name for child in waiting)}",
                    where="\n".join(f"{child.log}\n{tail(child.log)}" for child in waiting),
                )
            time.sleep(TICK_SECONDS)

    def stop(self) -> None:
        """Stop all services, the last one first, and give the data directory back; harmless when not started."""
        self._stopping = True
        self._wake.set()
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.join()
            self._write()
        self._data_dir_lock.release()

    def add(self, service: Service) -> None:
        """Start one more service after those there are; `wait_ready` tells when it is."""
        self._insert(service)
        self._wake.set()

    def remove(self, name: str) -> None:
        """Stop one service and forget it; returns when it has ended."""
        self._remove([self._child(name)])

    def scale(self, group: str, count: int) -> None:
        """Let the group have exactly the services 1 to `count`; returns when surplus ones have ended.

        Raises:
            ConfigurationError: no template of that name was given.
        """
        if group not in self._templates:
            raise ConfigurationError(f"services of this name cannot be scaled: {group}")
        present = {child.service.name: child for child in self._all() if child.service.group == group}
        wanted = [f"{group}-{number}" for number in range(1, count + 1)]
        for number, name in enumerate(wanted, start=1):
            if name not in present:
                self.add(self._templates[group](number))
        self._remove([child for name, child in present.items() if name not in wanted])

    def pause(self, name: str) -> None:
        """Hold a service's process where it is (SIGSTOP); it keeps its connections."""
        self._signal(self._child(name).pause(paused=True), name)

    def resume(self, name: str) -> None:
        """Let a held service go on (SIGCONT)."""
        self._signal(self._child(name).pause(paused=False), name)

    def kill(self, name: str) -> None:
        """Kill a service's process (SIGKILL), as a crash would; it is restarted like after any death."""
        self._signal(self._child(name).kill(), name)

    def states(self) -> tuple[ServiceState, ...]:
        """The services in start order."""
        return tuple(child.describe() for child in self._all())

    def log_path(self, name: str) -> Path:
        """The file that takes a service's output."""
        return self._data_dir / "log" / f"{name}.log"

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        self._signalled = True

    def _signal(self, sent: bool, name: str) -> None:
        if not sent:
            raise UnavailableError(f"{name} has no process now")
        self._wake.set()
        self._write()

    def _all(self) -> list[Child]:
        with self._lock:
            return list(self._children.values())

    def _child(self, name: str) -> Child:
        with self._lock:
            if name not in self._children:
                raise ConfigurationError(f"there is no service named {name}")
            return self._children[name]

    def _insert(self, service: Service) -> None:
        child = Child(
            service, self.log_path(service.name), self._backoff, monotonic=self._monotonic, now_us=self._now_us
        )
        with self._lock:
            if service.name in self._children:
                raise ConfigurationError(f"two services have the name {service.name}")
            self._children[service.name] = child

    def _remove(self, children: list[Child]) -> None:
        for child in children:
            child.request_stop()
        self._wake.set()
        while self._thread is not None and not all(child.ended for child in children):
            self._raise_crash()
            time.sleep(TICK_SECONDS)
        with self._lock:
            for child in children:
                self._children.pop(child.service.name, None)
        self._write()

    def _raise_crash(self) -> None:
        if self._crash is not None:
            raise self._crash

    def _watch(self) -> None:
        """The one thread that starts, watches and collects processes; it ends when none is left."""
        try:
            self._write()
            while not self._stopping:
                self._step_running()
                self._wake.wait(TICK_SECONDS)
                self._wake.clear()
            self._stop_in_reverse()
        except Exception as error:  # told to whoever waits; children must not outlive it
            self._crash = error
            _logger.exception("supervisor failed")
        finally:
            for child in self._all():
                child.kill()

    def _step_running(self) -> None:
        changed = False
        earlier_ready = True
        group = ""
        group_ready = True
        for child in self._all():
            if self._stopping:
                break
            if child.service.group != group:
                earlier_ready = earlier_ready and group_ready
                group, group_ready = child.service.group, True
            if earlier_ready or child.state is not State.STOPPED:
                changed = child.step() or changed
            group_ready = group_ready and (child.was_ready or not child.service.awaited)
        self._rotate_logs()
        if changed:
            self._write()

    def _stop_in_reverse(self) -> None:
        remaining = self._all()
        while remaining:
            group = remaining[-1].service.group
            together = [child for child in remaining if child.service.group == group]
            remaining = [child for child in remaining if child.service.group != group]
            for child in together:
                child.request_stop()
            while not all(child.ended for child in together):
                if any([child.step() for child in together]):  # noqa: C419  # every one, not up to the first
                    self._write()
                self._wake.wait(TICK_SECONDS)

    def _rotate_logs(self) -> None:
        now = self._monotonic()
        if now - self._rotated_at >= ROTATE_EVERY_SECONDS:
            self._rotated_at = now
            for child in self._all():
                try:
                    rotate(child.log)
                except OSError as error:  # a full disk: the services may still save what they do
                    _logger.warning("log not rotated", log=str(child.log), error=str(error))

    def _scraped(self) -> list[tuple[str, int]]:
        services = [child.service for child in self._all()]
        return [(one.name, one.port) for one in services if one.serves_metrics and one.port is not None]

    def _write(self) -> None:
        with self._lock:
            runtime = RuntimeState(supervisor_pid=os.getpid(), started_us=self._started_us, services=self.states())
            try:
                write_runtime(self._data_dir, runtime)
                write_targets(self._data_dir, self._scraped())
            except OSError as error:
                _logger.warning("state not written", data_dir=str(self._data_dir), error=str(error))


def _start_error(child: Child) -> TrueupError:
    error = child.error
    what = error.what if error else f"{child.service.name} failed"
    if isinstance(error, ConfigurationError):
        return error
    return TrueupError(
        what,
        where=f"{child.log}\n{tail(child.log)}",
        remedy=(error.remedy if error else "") or "the log above tells why",
    )
