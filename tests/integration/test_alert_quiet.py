"""Reminders go on while nothing comes from the topics: whoever looks after them waits for nobody who reads."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest
from confluent_kafka import Producer
from sqlalchemy import func, select

from dashboards.alerts import service as alert_service
from dashboards.alerts.metrics import AlertMetrics
from dashboards.alerts.service import AlertService
from dashboards.alerts.tables import OUTBOX
from dashboards.alerts.vocabulary import REMINDER
from tests.alert_books import CHANNEL, HEAD, ROUTE, URGENCY, alerts_of, incoming, quick_store
from tests.integration.alert_broker import discrepancy_broker
from trueup.alert_wiring import wall_clock_us

pytestmark = pytest.mark.integration

REMINDERS = 5
WAIT_SECONDS = 90.0


def test_reminders_go_on_while_the_topics_are_quiet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alert_service, "TICK_SECONDS", 0.05)
    alerts = alerts_of(HEAD + CHANNEL + ROUTE.replace('"4h", "1d"', '"1s"'))
    metrics = AlertMetrics()
    with discrepancy_broker(tmp_path) as bootstrap, quick_store(tmp_path) as store:

        def reminders() -> int:
            with store.connect() as connection:
                wanted = select(func.count()).select_from(OUTBOX).where(OUTBOX.c.kind == REMINDER)
                return connection.scalar(wanted) or 0

        message = incoming(1)
        producer = Producer({"bootstrap.servers": bootstrap})
        producer.produce(message.topic, message.value, message.key)
        producer.flush(WAIT_SECONDS)
        service = AlertService(
            store, alerts, URGENCY, {}, lambda ids: dict.fromkeys(ids, "open"), metrics, wall_clock_us
        )
        stop = threading.Event()
        running = threading.Thread(target=service.run, args=(bootstrap, stop), daemon=True)
        running.start()
        try:
            deadline = time.monotonic() + WAIT_SECONDS
            while reminders() < REMINDERS:
                assert time.monotonic() < deadline, f"{reminders()} reminders: {service.parts()}"
                time.sleep(0.1)
        finally:
            stop.set()
            running.join(WAIT_SECONDS)
        assert metrics.registry.get_sample_value("trueup_alerts_verdicts_total") == 1
        assert metrics.registry.get_sample_value("trueup_alerts_lag_records") == 0
