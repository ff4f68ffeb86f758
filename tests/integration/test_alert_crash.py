"""kill -9 of the process of alerts, again and again while discrepancies come in: every alert arrives, under one key."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
import structlog
from confluent_kafka import Producer

from tests.alert_books import CHANNEL, HEAD, ROUTE, identifier, incoming
from tests.alert_servers import FarEnd, far_end
from tests.integration.alert_broker import discrepancy_broker
from trueup.settings import AlertSettings, KafkaSettings, Settings
from trueup.stack_files import environment

pytestmark = [pytest.mark.integration, pytest.mark.slow]

KILLS = 4
CASES = 400
WAIT_SECONDS = 180.0

log = structlog.get_logger()


@pytest.fixture
def bootstrap(tmp_path: Path) -> Iterator[str]:
    with discrepancy_broker(tmp_path) as address:
        yield address


class Judges(threading.Thread):
    """Discrepancies that are raised, and a third of which resolve after a while."""

    def __init__(self, bootstrap: str) -> None:
        super().__init__(name="judges", daemon=True)
        self._producer = Producer({"bootstrap.servers": bootstrap})

    def run(self) -> None:
        for number in range(CASES):
            self.tell(number, version=1, is_open=True)
            if number >= 100 and number % 3 == 0:
                self.tell(number - 100 + number % 2, version=2, is_open=False)
            time.sleep(0.04)
        self._producer.flush(30)

    def tell(self, number: int, version: int, *, is_open: bool) -> None:
        """Publish one verdict."""
        message = incoming(number, version=version, is_open=is_open)
        self._producer.produce(message.topic, message.value, message.key, partition=number % 4)
        self._producer.poll(0)


class Dying:
    """The process of alerts, started again after each kill."""

    def __init__(self, directory: Path, environment: dict[str, str]) -> None:
        self._log = directory / "alerts.log"
        self._environment = environment
        self._process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "trueup.cli", "service", "alerts"]
        with self._log.open("ab") as file:
            return subprocess.Popen(command, env=self._environment, stderr=file)

    def kill(self) -> None:
        """Kill -9, and start again."""
        self._process.kill()
        self._process.wait()
        self._process = self._start()

    def end(self) -> int:
        """Ask it to end; its exit status."""
        self._process.terminate()
        return self._process.wait(60)

    def wait_for(self, condition: Callable[[], bool]) -> None:
        """Wait until it holds; fails with the end of the process's log."""
        deadline = time.monotonic() + WAIT_SECONDS
        while not condition():
            assert time.monotonic() < deadline, self._log.read_text()[-3000:]
            time.sleep(0.05)


def told_more_than(server: FarEnd, count: int) -> bool:
    return len(server.got) > count


def key(number: int, kind: str) -> str:
    """The key under which an alert arrives, however often."""
    return f"{identifier(number)}:1:{kind}:own"


def resolved() -> set[int]:
    return {number - 100 + number % 2 for number in range(100, CASES) if number % 3 == 0}


@pytest.mark.timeout(600)
def test_every_alert_arrives_whenever_the_process_dies(bootstrap: str, tmp_path: Path) -> None:
    seed = random.getrandbits(32)
    log.info("seed", seed=seed)
    rng = random.Random(seed)
    with far_end() as server:
        hosts = HEAD.replace('"127.0.0.1"]\nallow', f'"127.0.0.1:{server.port}"]\nallow')
        (tmp_path / "alerts.toml").write_text(hosts + CHANNEL + "digest_above = 10000\n" + ROUTE)
        settings = Settings(
            data_dir=tmp_path,
            kafka=KafkaSettings(bootstrap=bootstrap),
            alerts=AlertSettings(file=str(tmp_path / "alerts.toml")),
        )
        secrets = {"OWN_URL": f"http://127.0.0.1:{server.port}/hook", "OWN_SECRET": "s3cret"}

        process = Dying(tmp_path, {**os.environ, **environment(settings), **secrets})
        judges = Judges(bootstrap)
        judges.start()
        for _ in range(KILLS):
            process.wait_for(partial(told_more_than, server, len(server.got)))
            time.sleep(rng.uniform(0.0, 1.5))
            process.kill()
        judges.join()
        expected = {key(number, "raised") for number in set(range(CASES)) - resolved()}

        def arrived() -> Counter[str]:
            return Counter(got.headers["idempotency-key"] for got in server.got)

        def is_settled() -> bool:
            keys = arrived().keys()
            ended = [number for number in resolved() if key(number, "raised") in keys]
            return expected <= keys and all(key(number, "resolved") in keys for number in ended)

        process.wait_for(is_settled)
        time.sleep(2.0)
        assert process.end() == 0
    sent = arrived()
    assert sum(sent.values()) - len(sent) <= KILLS, "more was sent twice than a crash explains"
    for number in range(CASES):
        raised, over = (sent[key(number, kind)] > 0 for kind in ("raised", "resolved"))
        assert raised or number in resolved()
        assert over == (raised and number in resolved())
    assert "s3cret" not in (tmp_path / "alerts.log").read_text()
    assert "/hook" not in (tmp_path / "alerts.log").read_text()
