"""Starts the embedded ClickHouse endpoint as its own process, for the tests that speak to it."""

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import clickhouse_connect
from clickhouse_connect.driver.client import Client

from trueup.embedded.ports import free_port

ROOT = Path(__file__).resolve().parents[2]
PASSWORD = "writes-and-reads"
ANALYST_PASSWORD = "reads-only"
DASHBOARD_PASSWORD = "shows-pages"
START_SECONDS_MAX = 60
STOP_SECONDS_MAX = 60


class ClickHouseServer:
    """One endpoint process on one directory; it can be stopped, killed and started again."""

    def __init__(self, data_dir: Path, analyst_database: str = "trueup") -> None:
        self.data_dir = data_dir
        self.analyst_database = analyst_database
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/"
        self.log = data_dir.with_suffix(".log")
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        environment = os.environ | {
            "TRUEUP_CLICKHOUSE_PASSWORD": PASSWORD,
            "TRUEUP_CLICKHOUSE_ANALYST_PASSWORD": ANALYST_PASSWORD,
            "TRUEUP_CLICKHOUSE_DASHBOARD_PASSWORD": DASHBOARD_PASSWORD,
            "PYTHONPATH": str(ROOT),
        }
        command = [sys.executable, "-m", "trueup.embedded.clickhouse"]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [
                    *(*command, "--data-dir", str(self.data_dir), "--port", str(self.port)),
                    *("--analyst-database", self.analyst_database),
                ],
                stdout=log,
                stderr=log,
                env=environment,
                cwd=self.data_dir.parent,
            )
        deadline = time.monotonic() + START_SECONDS_MAX
        while not self.answers_ping():
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.05)

    def answers_ping(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}ping", timeout=5) as answer:  # noqa: S310 - our own address
                return bool(answer.read() == b"Ok.\n")
        except (urllib.error.URLError, OSError):
            return False

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Sends the signal and returns the exit status."""
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(STOP_SECONDS_MAX)

    def client(self, user: str = "trueup", password: str = PASSWORD, **options: Any) -> Client:
        return clickhouse_connect.get_client(
            host="127.0.0.1", port=self.port, username=user, password=password, **options
        )

    def analyst(self) -> Client:
        return self.client("analyst", ANALYST_PASSWORD)

    def curl(
        self, query: str | bytes, *options: str, user: str = f"trueup:{PASSWORD}", url: str = ""
    ) -> tuple[int, str]:
        """The HTTP status and the text that curl gets for a query in the body; `url` is appended to the address."""
        sent = query.encode() if isinstance(query, str) else query
        command = ["curl", "--silent", "--user", user, "--data-binary", "@-", "--write-out", "\n%{http_code}"]
        done = subprocess.run(
            [*command, *options, self.url + url], input=sent, capture_output=True, check=False, timeout=60
        )
        text, _, status = done.stdout.decode(errors="replace").rpartition("\n")
        return int(status), text

    def analyst_curl(self, query: str, url: str = "") -> tuple[int, str]:
        return self.curl(query, user=f"analyst:{ANALYST_PASSWORD}", url=url)
