"""One supervised process: its start, readiness, death, restart after a delay, and end.

`step` is called again and again by the supervisor's one thread and never waits; everything else may be called from any
thread. That one thread also starts the process, because Linux ties the death signal to the thread that forked.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import structlog

from trueup.embedded.logs import open_log, rotate
from trueup.embedded.runtime import ServiceState, State
from trueup.embedded.service import Backoff, Service
from trueup.model.errors import ConfigurationError, TrueupError

_logger = structlog.get_logger()

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def _die_with_parent(death_signal: int) -> Callable[[], None] | None:
    """A function to run in the child between fork and exec; None where the system cannot do it."""
    if _LIBC is None:
        return None
    prctl = _LIBC.prctl
    parent = os.getpid()

    def arrange() -> None:
        prctl(_PR_SET_PDEATHSIG, death_signal)
        if os.getppid() != parent:  # it died before the line above
            os._exit(1)

    return arrange


class Child:
    """The process of one service.

    Args:
        service: what to run.
        log: file that takes its output.
        backoff: when and how often it is started again.
        monotonic: seconds, for delays.
        now_us: microseconds since the epoch, for display.
    """

    def __init__(
        self,
        service: Service,
        log: Path,
        backoff: Backoff,
        *,
        monotonic: Callable[[], float],
        now_us: Callable[[], int],
    ) -> None:
        self.service = service
        self.log = log
        self.error: TrueupError | None = None
        self.was_ready = False
        self.ended = False  # after request_stop: no process is left and none will come
        self.state = State.STOPPED
        self._backoff = backoff
        self._monotonic = monotonic
        self._now_us = now_us
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()  # between a signal to the process and the collection of its pid
        self._since_us = now_us()
        self._entered = monotonic()
        self._failures = 0
        self._starts = 0
        self._last_error = ""
        self._stop_requested = False
        self._term_sent = False
        self._paused = False

    def describe(self) -> ServiceState:
        """The state as other commands see it."""
        process = self._process
        return ServiceState(
            name=self.service.name,
            state=self.state,
            pid=process.pid if process else None,
            port=self.service.port,
            restarts=max(0, self._starts - 1),
            since_us=self._since_us,
            paused=self._paused,
            last_error=self._last_error,
        )

    def request_stop(self) -> None:
        """Let the next steps end the process: first politely, then by force."""
        self._stop_requested = True

    def pause(self, *, paused: bool) -> bool:
        """Hold the process (SIGSTOP) or let it go on (SIGCONT); False when there is none."""
        sent = self._signal_group(signal.SIGSTOP if paused else signal.SIGCONT)
        self._paused = paused and sent
        return sent

    def kill(self) -> bool:
        """Kill the process and its group at once (SIGKILL); False when there is none."""
        return self._signal_group(signal.SIGKILL)

    def step(self) -> bool:
        """Do what is due now; tells whether the state changed."""
        before = self.describe()
        if self._stop_requested:
            self._step_stop()
        elif self.state in (State.STARTING, State.READY):
            self._step_alive()
        elif self.state is State.STOPPED or (
            self.state is State.BACKOFF and self._elapsed() >= self._backoff.delay_seconds(self._failures)
        ):
            self._launch()
        return self.describe() != before

    def _elapsed(self) -> float:
        return self._monotonic() - self._entered

    def _enter(self, state: State) -> None:
        self.state = state
        self._since_us = self._now_us()
        self._entered = self._monotonic()

    def _launch(self) -> None:
        service = self.service
        self._starts += 1
        self._enter(State.STARTING)
        try:
            command = list(service.command()) if callable(service.command) else list(service.command)
            self._process = self._spawn(command)
        except ConfigurationError as error:
            self._fail(error)
        except TrueupError as error:
            self._count_failure(error.what, error)
        except OSError as error:
            self._fail(ConfigurationError(f"{service.name} cannot be started: {error}"))

    def _spawn(self, command: list[str]) -> subprocess.Popen[bytes]:
        service = self.service
        rotate(self.log)
        descriptor = open_log(self.log)
        try:
            return subprocess.Popen(
                command,
                env={**os.environ, **service.env},
                stdin=subprocess.DEVNULL,
                stdout=descriptor,
                stderr=descriptor,
                cwd=service.cwd,
                start_new_session=True,  # Ctrl-C in the terminal reaches the supervisor only
                user=service.user.uid if service.user else None,
                group=service.user.gid if service.user else None,
                extra_groups=[] if service.user else None,
                # Runs after the change of user, which would clear it. It only makes system calls.
                preexec_fn=_die_with_parent(service.death_signal),  # noqa: PLW1509
            )
        finally:
            os.close(descriptor)

    def _step_alive(self) -> None:
        service = self.service
        status = self._collect_if_dead()
        if status is not None:
            self._count_failure(f"{service.name} ended with {_describe_status(status)}", None)
        elif self.state is State.READY:
            if self._failures and self._elapsed() >= self._backoff.healthy_after_seconds:
                self._failures = 0
        elif self._is_ready():
            self.was_ready = True
            self._enter(State.READY)
            _logger.info("service ready", service=service.name, pid=self.describe().pid)
        elif self._elapsed() >= service.ready_timeout_seconds and not self._paused:
            self.kill()
            self._collect()
            self._count_failure(f"{service.name} did not get ready within {service.ready_timeout_seconds:g} s", None)

    def _step_stop(self) -> None:
        if self._process is None:
            self._end_stop()
            return
        if not self._term_sent:
            self._term_sent = True
            self._enter(State.STOPPING)
            self._ask_to_stop()
        if self._collect_if_dead() is not None:
            self._end_stop()
        elif self._elapsed() >= self.service.stop_timeout_seconds:
            _logger.warning("service killed: it did not stop in time", service=self.service.name)
            self.kill()
            self._collect()
            self._end_stop()

    def _end_stop(self) -> None:
        if self.state not in (State.STOPPED, State.FAILED):
            self._enter(State.STOPPED)
        self.ended = True

    def _is_ready(self) -> bool:
        try:
            return self.service.ready()
        except (OSError, TrueupError) as error:
            self._last_error = str(error)
            return False

    def _ask_to_stop(self) -> None:
        with self._lock:
            if self._process is not None:
                # Not by Popen, which would collect a process that has just died under the hands of `_collect_if_dead`.
                with suppress(ProcessLookupError):
                    os.kill(self._process.pid, self.service.stop_signal)
        self.pause(paused=False)  # a held process does not see the signal

    def _signal_group(self, number: signal.Signals) -> bool:
        with self._lock:
            if self._process is None:
                return False
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)
            return True

    def _collect_if_dead(self) -> int | None:
        """The exit status if the process has ended (negative: the signal), else None."""
        process = self._process
        if process is None:
            return None
        # WNOWAIT keeps the pid ours until the rest of its group is gone too.
        if os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            return None
        return self._collect()

    def _collect(self) -> int | None:
        self._signal_group(signal.SIGKILL)
        with self._lock:
            process, self._process = self._process, None
            self._paused = False
            return process.wait() if process else None

    def _count_failure(self, reason: str, error: TrueupError | None) -> None:
        self._failures += 1
        self._last_error = reason
        attempts_max = self._backoff.restart_attempts_max if self.was_ready else self._backoff.start_attempts_max
        if not self.service.restart or self._failures >= attempts_max:
            self._fail(error or TrueupError(reason))
            return
        self._enter(State.BACKOFF)
        delay = self._backoff.delay_seconds(self._failures)
        _logger.warning("service down", service=self.service.name, reason=reason, restart_in_seconds=delay)

    def _fail(self, error: TrueupError) -> None:
        self.error = error
        self._last_error = error.what
        self._enter(State.FAILED)
        _logger.error("service failed", service=self.service.name, reason=error.what)


def _describe_status(status: int) -> str:
    if status >= 0:
        return f"exit status {status}"
    try:
        return signal.Signals(-status).name
    except ValueError:
        return f"signal {-status}"
