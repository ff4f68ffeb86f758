"""The embedded ClickHouse endpoint, as stock clickhouse-connect and curl see it."""

import datetime as dt
import gzip
import io
import json
import subprocess
import threading
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import lz4.frame
import pyarrow as pa
import pytest
import zstandard
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError, StreamFailureError

from tests.integration.endpoint_process import PASSWORD, ClickHouseServer

pytestmark = pytest.mark.integration

COLUMNS = ["order_id", "shop", "amount", "note", "paid_at", "version"]
WHEN = dt.datetime(2026, 3, 1, 12, 30, 0, 123456, tzinfo=dt.UTC)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClickHouseServer]:
    running = ClickHouseServer(tmp_path_factory.mktemp("endpoint") / "data")
    running.start()
    yield running
    assert running.stop() == 0


@pytest.fixture
def client(server: ClickHouseServer) -> Iterator[Client]:
    connected = server.client()
    connected.command("DROP TABLE IF EXISTS payment SYNC")
    connected.command(
        "CREATE TABLE payment (order_id UInt64, shop LowCardinality(String), amount Decimal(38, 4),"
        " note Nullable(String), paid_at DateTime64(6, 'UTC'), version UInt64)"
        " ENGINE = ReplacingMergeTree(version) ORDER BY order_id"
    )
    yield connected
    connected.close()


def rows(count: int, version: int = 1, note: str | None = None) -> list[list[object]]:
    return [[i, f"shop-{i % 7}", Decimal(i) / 4, note, WHEN, version] for i in range(count)]


def total(client: Client, final: str = "") -> tuple[object, ...]:
    return tuple(client.query(f"SELECT count(), sum(amount) FROM payment {final}").result_rows[0])


@pytest.mark.parametrize("compress", ["lz4", "zstd", "gzip", False])
def test_native_rows_go_in_and_out(server: ClickHouseServer, client: Client, compress: str | bool) -> None:
    with server.client(compress=compress) as other:
        assert other.insert("payment", rows(1000), column_names=COLUMNS).written_rows == 1000
        found = other.query("SELECT * FROM payment ORDER BY order_id").result_rows
    assert len(found) == 1000
    assert found[999] == (999, "shop-5", Decimal("249.7500"), None, WHEN.replace(tzinfo=None), 1)


def test_final_reads_the_newest_version(client: Client) -> None:
    client.insert("payment", rows(100, version=1, note="old"), column_names=COLUMNS)
    client.insert("payment", rows(60, version=2, note="new"), column_names=COLUMNS)
    client.insert("payment", rows(60, version=1, note="replayed"), column_names=COLUMNS)
    notes = client.query("SELECT note, count() FROM payment FINAL GROUP BY note ORDER BY note").result_rows
    assert list(notes) == [("new", 60), ("old", 40)]


def test_arrow_goes_in_and_out(client: Client) -> None:
    table = pa.table(
        {
            "order_id": pa.array(range(5000), pa.uint64()),
            "shop": ["ä"] * 5000,
            "version": pa.array([1] * 5000, pa.uint64()),
        }
    )
    assert client.insert_arrow("payment", table).written_rows == 5000
    assert client.query_arrow("SELECT order_id FROM payment ORDER BY order_id LIMIT 3").to_pydict() == {
        "order_id": [0, 1, 2]
    }
    with client.query_arrow_stream("SELECT number, toString(number) AS text FROM numbers(300000)") as batches:
        read = pa.Table.from_batches(batches)
    assert read.column("number").to_pylist() == list(range(300_000))
    assert read.column("text")[299_999].as_py() == "299999"


def test_arrow_stream_format_goes_in(server: ClickHouseServer, client: Client) -> None:
    table = pa.table({"order_id": pa.array([7, 8], pa.uint64())})
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    status, text = server.curl(sink.getvalue(), url="?query=INSERT+INTO+payment+(order_id)+FORMAT+ArrowStream")
    assert (status, text) == (200, "")
    assert total(client)[0] == 2


@pytest.mark.parametrize(
    ("encoding", "encode"),
    [("gzip", gzip.compress), ("zstd", zstandard.compress), ("lz4", lz4.frame.compress), ("", bytes)],
)
def test_csv_goes_in_in_every_encoding(client: Client, encoding: str, encode: object) -> None:
    assert callable(encode)
    # Two parts one after the other are one body, as clients send that compress block by block.
    body = encode(b'1,"a,b"\n') + encode(b"2,\xc3\xa4\n")
    done = client.raw_insert("payment", ["order_id", "note"], body, fmt="CSV", compression=encoding or None)
    assert done.written_rows == 2
    assert list(client.query("SELECT order_id, note FROM payment ORDER BY 1").result_rows) == [(1, "a,b"), (2, "ä")]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ('INSERT INTO payment (order_id, note) FORMAT JSONEachRow {"order_id":1,"note":"x"}\n{"order_id":2}', 2),
        ("INSERT INTO payment (order_id, note) FORMAT TabSeparated\n1\ta;b\n2\t\\N\n3\tc", 3),
        ("INSERT INTO payment (order_id, note) VALUES (1, 'a;b'), (1 + 1, concat('x', 'y'));", 2),
        ("/* rows */ insert into payment(order_id) format CSV\n1\n2\n", 2),
        ("INSERT INTO payment (order_id) SELECT number FROM numbers(5)", 5),
        ("INSERT INTO payment (order_id) FORMAT CSV", 0),
    ],
)
def test_rows_follow_the_statement_in_the_body(
    server: ClickHouseServer, client: Client, query: str, expected: int
) -> None:
    assert server.curl(query) == (200, "")
    assert total(client)[0] == expected


def test_a_chunked_body_and_a_body_on_disk_go_in(server: ClickHouseServer, client: Client) -> None:
    lines = b"".join(b"%d,%s\n" % (number, b"x" * 100) for number in range(150_000))
    url = "?query=INSERT+INTO+payment+(order_id,note)+FORMAT+CSV"
    assert server.curl(lines, "--header", "Transfer-Encoding: chunked", url=url) == (200, "")
    assert total(client)[0] == 150_000


def test_a_bad_row_inserts_nothing(server: ClickHouseServer, client: Client) -> None:
    body = "INSERT INTO payment (order_id) FORMAT CSV\n" + "".join(f"{i}\n" for i in range(100_000)) + "oops\n"
    status, text = server.curl(body)
    assert status == 400
    assert "Code: 117. DB::Exception" in text
    assert total(client)[0] == 0


def test_parameters_are_bound_not_pasted(server: ClickHouseServer, client: Client) -> None:
    text = 'it\'s\t"x"\n\\N ä'
    for form in (False, True):
        with server.client(form_encode_query_params=form) as other:
            sent = {"text": text, "many": [1, 2], "nothing": None}
            sql = "SELECT {text:String}, {many:Array(UInt8)}, {nothing:Nullable(String)}"
            assert other.query(sql, parameters=sent).result_rows == [(text, [1, 2], None)]
    client.command("INSERT INTO payment (order_id, note) VALUES ({id:UInt64}, {text:String})", {"id": 5, "text": text})
    assert client.query("SELECT note FROM payment WHERE order_id = 5").result_rows == [(text,)]


def test_settings_hold_for_one_query(client: Client) -> None:
    sql = "SELECT getSetting('max_block_size')"
    assert client.query(sql, settings={"max_block_size": 77}).result_rows == [(77,)]
    assert client.query(sql).result_rows != [(77,)]
    with pytest.raises(DatabaseError) as refused:
        client.query("SELECT 1", settings={"no_such_setting": 1})
    assert refused.value.code == 115


def test_a_session_keeps_temporary_tables_and_settings(server: ClickHouseServer, client: Client) -> None:
    client.command("CREATE TEMPORARY TABLE picked (order_id UInt64)")
    client.insert("picked", [[1], [2]], column_names=["order_id"], column_type_names=["UInt64"])
    client.command("SET max_block_size = 4321")
    sql = "SELECT count(), getSetting('max_block_size') FROM picked"
    assert client.query(sql).result_rows == [(2, 4321)]
    assert client.query(sql, settings={"max_block_size": 5}).result_rows == [(2, 5)]
    assert client.query(sql).result_rows == [(2, 4321)]
    with server.client() as other, pytest.raises(DatabaseError) as unknown:
        other.query(sql)
    assert unknown.value.code == 60


@pytest.mark.parametrize(
    ("query", "url", "status", "code"),
    [
        ("SELECT * FROM nowhere", "", 404, 60),
        ("SELECT 1", "?database=nowhere", 404, 81),
        ("SELECT FROM WHERE", "", 400, 62),
        ("SELECT 1; SELECT 2", "", 400, 62),
        ("SELECT 'never closed", "", 400, 62),
        ("exit", "", 400, 62),
        ("", "", 400, 62),
        ("SELECT no_such_function(1)", "", 404, 46),
        ("SELECT 1 FORMAT NoSuchFormat", "", 404, 73),
        ("SELECT sleep(3)", "?max_execution_time=1", 408, 159),
        ("SELECT throwIf(1)", "", 500, 395),
        ("SELECT 1", "?compress=1", 501, 48),
        ("SELECT 1", "?session_id=x&session_check=1", 500, 372),
    ],
)
def test_errors_have_clickhouse_status_and_code(
    server: ClickHouseServer, query: str, url: str, status: int, code: int
) -> None:
    found, text = server.curl(query, "--include", url=url)
    assert found == status
    assert f"x-clickhouse-exception-code: {code}" in text.lower()
    assert f"Code: {code}. DB::Exception: " in text


def test_clickhouse_connect_sees_the_code(client: Client) -> None:
    with pytest.raises(DatabaseError, match="UNKNOWN_TABLE") as refused:
        client.query("SELECT * FROM nowhere")
    assert refused.value.code == 60


def test_an_error_midway_is_no_short_result(client: Client, server: ClickHouseServer) -> None:
    sql = "SELECT number, throwIf(number = 3000000) FROM numbers(5000000)"
    with client.query_row_block_stream(sql, settings={"max_threads": 1}) as blocks, pytest.raises(StreamFailureError):
        list(blocks)
    done = subprocess.run(
        ["curl", "--silent", "--user", f"trueup:{PASSWORD}", "--data-binary", sql, server.url],
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert done.returncode != 0, "curl must see that the body is cut short"
    assert b"Code: 395" in done.stdout[-2000:]


def test_headers_tell_what_happened(server: ClickHouseServer) -> None:
    status, text = server.curl("SELECT number FROM numbers(3)", "--include", url="?query_id=mine&default_format=CSV")
    head, _, body = text.replace("\r", "").partition("\n\n")
    fields = dict(line.lower().split(": ", 1) for line in head.splitlines()[1:])
    assert (status, body) == (200, "0\n1\n2\n")
    assert fields["x-clickhouse-query-id"] == "mine"
    assert fields["x-clickhouse-format"] == "csv"
    assert fields["x-clickhouse-timezone"] == "utc"
    assert fields["x-clickhouse-server-display-name"]
    assert json.loads(fields["x-clickhouse-summary"])["read_rows"] == "3"


def test_large_results_come_whole(server: ClickHouseServer, client: Client) -> None:
    count = 4_000_000
    # Over the buffer that is kept in memory, awaited to the end, and compressed.
    assert client.query_np("SELECT number FROM numbers(%s)", [count]).sum() == count * (count - 1) // 2
    status, text = server.curl(f"SELECT number FROM numbers({count}) FORMAT TSV", "--compressed")
    assert status == 200
    assert text.count("\n") == count
    _, text = server.curl("SELECT number FROM numbers(100000) WHERE number % 9999 = 0 SETTINGS max_block_size = 100")
    assert text.split() == [str(number) for number in range(0, 100_000, 9999)]


def test_blocks_beyond_the_memory_of_a_result_come_whole(client: Client) -> None:
    # Each block alone outgrows what the endpoint keeps in memory.
    settings = {"max_block_size": 50_000, "preferred_block_size_bytes": 0}
    query = "SELECT number, repeat('x', 400) FROM numbers(220000)"
    with client.query_arrow_stream(query, settings=settings) as batches:
        assert sum(batch.num_rows for batch in batches) == 220_000


def test_small_queries_do_not_wait_for_a_delayed_packet(client: Client) -> None:
    took_seconds = []
    for _ in range(20):
        began = time.monotonic()
        client.query("SELECT 1")
        took_seconds.append(time.monotonic() - began)
    assert min(took_seconds) < 0.03, "without TCP_NODELAY each answer takes 40 ms more"


def test_a_slow_query_does_not_hold_up_inserts(server: ClickHouseServer, client: Client) -> None:
    done = threading.Event()

    def query_slowly() -> None:
        with server.client() as other:
            other.query("SELECT sleepEachRow(0.1) FROM numbers(80) SETTINGS max_block_size = 1")
        done.set()

    slow = threading.Thread(target=query_slowly)
    slow.start()
    for _ in range(5):
        client.insert("payment", rows(100), column_names=COLUMNS)
    assert not done.is_set(), "five small inserts take less than the slow query's eight seconds"
    slow.join()
    assert total(client, "FINAL")[0] == 100


def test_a_client_that_leaves_ends_its_query(server: ClickHouseServer, client: Client) -> None:
    marks = {"counted": "SELECT sum(sipHash64(number)) FROM numbers(100000000000)"}
    marks["streamed"] = "SELECT number AS streamed FROM numbers(100000000000)"
    for sql in marks.values():
        command = ["curl", "--silent", "--user", f"trueup:{PASSWORD}", "--data-binary", sql, server.url]
        leaving = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        running = "SELECT count() FROM system.processes WHERE query = {sql:String}"
        assert _eventually(client, running, sql, 1)
        leaving.kill()
        leaving.wait()
        assert _eventually(client, running, sql, 0)
    assert server.answers_ping()


def _eventually(client: Client, query: str, sql: str, expected: int) -> bool:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if client.query(query, parameters={"sql": sql}).result_rows == [(expected,)]:
            return True
        time.sleep(0.1)
    return False


def test_many_clients_at_once(server: ClickHouseServer, client: Client) -> None:
    refused: list[Exception] = []

    def work(shard: int) -> None:
        try:
            with server.client() as other:
                for batch in range(5):
                    first = (shard * 5 + batch) * 100
                    other.insert("payment", [[first + i, "s", 1, None, WHEN, 1] for i in range(100)], COLUMNS)
                    other.query("SELECT count() FROM payment")
        except DatabaseError as error:
            refused.append(error)

    threads = [threading.Thread(target=work, args=(shard,)) for shard in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert refused == []
    assert total(client, "FINAL") == (4000, Decimal("4000.0000"))


def test_the_store_is_a_plain_directory_of_ours(server: ClickHouseServer, client: Client) -> None:
    assert client.query("SELECT engine FROM system.databases WHERE name = 'default'").result_rows == [("Atomic",)]
    assert {path.name for path in Path(server.data_dir).iterdir()} == {"chdb", "config", "spool"}
