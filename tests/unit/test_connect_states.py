"""What Kafka Connect says of a connector, and what an offset of Debezium stands for."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from cdc.connect_offsets import Committed, committed_of
from cdc.connect_rest import ConnectorStatus, ConnectRest, TaskStatus
from cdc.connector_watch import ConnectorWatch
from cdc.counters import ReaderCounters
from cdc.metrics import reader_parts
from trueup.checking.connector_check import ConnectorState
from trueup.embedded.ports import free_port
from trueup.model.errors import UnavailableError

RUNS = TaskStatus("RUNNING", "w1")
TRACE = """org.apache.kafka.connect.errors.ConnectException: An exception occurred
\tat io.debezium.pipeline.ErrorHandler.setProducerThrowable(ErrorHandler.java:67)
Caused by: java.io.IOException: cannot stream
Caused by: org.postgresql.util.PSQLException: ERROR: publication "trueup" does not exist
\tat org.postgresql.core.v3.QueryExecutorImpl.receiveErrorResponse(QueryExecutorImpl.java:2733)
"""


@pytest.mark.parametrize(
    ("offset", "committed"),
    [
        ({"lsn": 30, "lsn_commit": 40, "lsn_proc": 20, "txId": 7}, Committed(40, copying=False)),
        ({"lsn": 50, "lsn_commit": 40, "lsn_proc": None}, Committed(50, copying=False)),
        ({"lsn": 50, "snapshot": "INITIAL", "last_snapshot_record": True}, Committed(0, copying=True)),
        ({"lsn": 50, "snapshot": True}, Committed(0, copying=True)),
        ({"file": "binlog.000002", "pos": 7, "row": 3}, Committed((2 << 32 | 7) << 14, copying=False)),
        ({"file": "binlog.000002", "pos": 7, "snapshot": True}, Committed(0, copying=True)),
    ],
)
def test_an_offset_tells_the_highest_position_but_none_while_tables_are_copied(
    offset: dict[str, object], committed: Committed
) -> None:
    assert committed_of(offset) == committed


def test_a_failed_task_is_told_in_one_line() -> None:
    failed = TaskStatus("FAILED", "w1", TRACE)
    told = 'task 0 is FAILED: org.postgresql.util.PSQLException: ERROR: publication "trueup" does not exist'
    assert ConnectorStatus(RUNS, {0: failed}).trouble == told
    (fault,) = ConnectorState("shop", ConnectorStatus(RUNS, {0: failed}), 0, slot_active=False).faults
    assert fault.what == told
    assert "/connectors/shop/restart" in fault.remedy


def test_a_connector_runs_with_its_task_only() -> None:
    assert ConnectorStatus(RUNS, {0: RUNS}).trouble == ""
    assert ConnectorStatus(RUNS, {}).trouble == "the connector has no task yet"
    assert ConnectorStatus(TaskStatus("PAUSED", "w1"), {}).trouble == "the connector is PAUSED"
    (fault,) = ConnectorState("shop", None, None, slot_active=False).faults
    assert fault.remedy == "run `trueup cdc register`"


def test_connect_that_is_away_is_trouble_and_no_traceback() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    with closing(ConnectRest(url)) as rest, pytest.raises(UnavailableError, match="does not answer") as caught:
        rest.plugins()
    assert caught.value.where == url
    assert "connect.url" in caught.value.remedy
    watch = ConnectorWatch(url, "shop")
    assert watch.trouble


@contextmanager
def connect_that_says(*statuses: int) -> Iterator[str]:
    """The address of a server that answers each request with the next status, and goes on with the last one."""
    left = list(statuses)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status = left.pop(0) if len(left) > 1 else left[0]
            body = b"[]" if status == HTTPStatus.OK else b'{"message": "rebalancing"}'
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nothing is logged."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_connect_is_asked_again_while_it_shares_out_its_work() -> None:
    with connect_that_says(409, 409, 200) as url, closing(ConnectRest(url)) as rest:
        assert rest.plugins() == {}


def test_connect_that_never_ends_to_share_out_its_work_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cdc.connect_rest.SHARING_OUT_SECONDS_MAX", 0.2)
    with (
        connect_that_says(409) as url,
        closing(ConnectRest(url)) as rest,
        pytest.raises(UnavailableError, match="cannot answer now: rebalancing"),
    ):
        rest.plugins()


def test_the_reader_is_not_ready_while_the_connector_does_not_run() -> None:
    counters = ReaderCounters()
    assert "connector" not in reader_parts(counters)
    counters.watches_connector = True
    counters.began_streaming()
    assert all(part.ready for part in reader_parts(counters).values())
    counters.connector_trouble("task 0 is FAILED")
    assert reader_parts(counters)["connector"] == (False, "task 0 is FAILED")
    counters.connector_trouble("")
    assert reader_parts(counters)["connector"].ready
