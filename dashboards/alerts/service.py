"""The process of alerts: one thread reads the topics, one looks after reminders, one for each channel sends."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import structlog
from sqlalchemy import Engine
from sqlalchemy.exc import OperationalError

from dashboards.alerts.courier import Courier
from dashboards.alerts.declared import DeclaredAlerts
from dashboards.alerts.intake import stored_offsets, take_in
from dashboards.alerts.listening import Listener
from dashboards.alerts.metrics import AlertMetrics
from dashboards.alerts.outbox import counts, forget_channels, recover, storms, sweep
from dashboards.alerts.reminding import CASES_MAX, ReadStandings, due_reminders, remind
from dashboards.alerts.vocabulary import DEAD, RETRYING, SENDING, WAITING
from reconcile.cases.policy import Urgency
from trueup.model.errors import UnavailableError
from trueup.model.health import Part

POLL_SECONDS: Final = 0.5
TICK_SECONDS: Final = 2.0
SWEEP_SECONDS: Final = 600.0
PAUSE_SECONDS: Final = 2.0
"""After a service did not answer."""

STALLED_SECONDS: Final = 60.0
END_SECONDS_MAX: Final = 30.0

_log = structlog.get_logger()


class AlertService:
    """Everything that the process does, over parts that are given.

    Args:
        store: the small database.
        alerts: the file of alerts.
        urgency: how severe a discrepancy is.
        couriers: one for each channel, by its name.
        standings: where cases stand.
        metrics: counters and gauges.
        clock_us: µs since the epoch.
    """

    def __init__(
        self,
        store: Engine,
        alerts: DeclaredAlerts,
        urgency: Urgency,
        couriers: Mapping[str, Courier],
        standings: ReadStandings,
        metrics: AlertMetrics,
        clock_us: Callable[[], int],
    ) -> None:
        self._store = store
        self._alerts = alerts
        self._urgency = urgency
        self._couriers = couriers
        self._standings = standings
        self._metrics = metrics
        self._clock_us = clock_us
        self._kinds = {channel.name: channel.kind for channel in alerts.channels}
        self._listener: Listener | None = None
        self._stop = threading.Event()
        self._failure: BaseException | None = None
        self._turned = time.monotonic()
        self._parts: dict[str, Part] = {"topics": Part(ready=False)}
        self._swept = 0.0

    def run(self, bootstrap: str, stop: threading.Event) -> None:
        """Work until `stop` is set. Errors: whatever broke one of the threads; the process should end then."""
        recover(self._store, self._clock_us())
        forgotten = forget_channels(self._store, self._kinds.keys(), self._clock_us())
        if forgotten:
            _log.warning("alert_channels_gone", messages=forgotten)
        self._stop = stop
        loops = {"reminders": self._tick, **{f"send-{name}": _sending(one) for name, one in self._couriers.items()}}
        threads = [
            threading.Thread(target=self._repeat, args=loop, name=loop[0], daemon=True) for loop in loops.items()
        ]
        listener = self._listener = Listener(bootstrap, lambda: stored_offsets(self._store))
        for thread in threads:
            thread.start()
        try:
            self._repeat("topics", self._listen)
        finally:
            stop.set()
            deadline = time.monotonic() + END_SECONDS_MAX
            for thread in threads:
                thread.join(max(0.0, deadline - time.monotonic()))
            listener.close()
        if self._failure is not None:
            raise self._failure

    def alive(self) -> bool:
        """Whether the loop that reads the topics turns."""
        return time.monotonic() - self._turned < STALLED_SECONDS

    def parts(self) -> Mapping[str, Part]:
        """What the process needs, and the last error of each."""
        return dict(self._parts)

    def _repeat(self, name: str, step: Callable[[], float]) -> None:
        """Do a step again and again; it tells how many seconds to wait. What cannot pass by itself ends the process."""
        while not self._stop.is_set():
            try:
                wait_seconds = step()
                self._parts[name] = Part(ready=True, error=self._parts.get(name, Part(ready=True)).error)
            except (UnavailableError, OperationalError) as error:
                told = str(error).splitlines()[0]
                _log.warning("alert_waits", part=name, reason=told)
                self._parts[name] = Part(ready=False, error=told)
                wait_seconds = PAUSE_SECONDS
            except BaseException as error:  # noqa: BLE001 - told by `run` in the process's own thread
                self._failure = self._failure or error
                self._stop.set()
                return
            self._stop.wait(wait_seconds)

    def _listen(self) -> float:
        self._turned = time.monotonic()
        assert self._listener is not None
        messages = self._listener.poll(POLL_SECONDS)
        if messages:
            taken = take_in(self._store, self._alerts, self._urgency, messages, self._clock_us())
            self._metrics.taken.inc(taken.fresh)
            self._metrics.unreadable.inc(taken.unreadable)
            self._listener.told(messages)
        # Asked by the thread that reads: the client lets one thread at a time in, and another one waits for ever beside it.
        self._metrics.lag.set(self._listener.lag_records())
        return 0.0

    def _tick(self) -> float:
        now_us = self._clock_us()
        ids = due_reminders(self._store, now_us)
        if ids:
            remind(self._store, self._alerts, ids, self._standings(ids), now_us)
        self._show()
        if time.monotonic() - self._swept > SWEEP_SECONDS:
            self._swept = time.monotonic()
            sweep(self._store, now_us)
        return 0.0 if len(ids) == CASES_MAX else TICK_SECONDS

    def _show(self) -> None:
        held = counts(self._store)
        metrics = self._metrics
        metrics.show(metrics.queued, self._by_kind(held, [WAITING, RETRYING, SENDING]))
        metrics.show(metrics.dead, self._by_kind(held, [DEAD]))
        metrics.show(metrics.digesting, self._by_kind({(name, ""): 1 for name in storms(self._store)}, [""]))

    def _by_kind(self, held: Mapping[tuple[str, str], int], states: Sequence[str]) -> dict[str, int]:
        found: dict[str, int] = {}
        for (channel, state), count in held.items():
            kind = self._kinds.get(channel)
            if kind is not None and state in states:
                found[kind] = found.get(kind, 0) + count
        return found


def _sending(courier: Courier) -> Callable[[], float]:
    return lambda: courier.turn() / 1_000_000
