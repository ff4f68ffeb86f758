"""Who may do what at the embedded ClickHouse endpoint, and every way round it that we could think of."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy
from clickhouse_connect.driver.exceptions import DatabaseError

from tests.integration.endpoint_process import ANALYST_PASSWORD, PASSWORD, ClickHouseServer

pytestmark = pytest.mark.integration

SECRET = "the-secret-of-the-file"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClickHouseServer]:
    running = ClickHouseServer(tmp_path_factory.mktemp("access") / "data")
    running.start()
    with running.client() as client:
        client.command("CREATE TABLE trueup.kept (a UInt64) ENGINE = MergeTree ORDER BY a")
        client.command("INSERT INTO trueup.kept SELECT number FROM numbers(10)")
        client.command(
            "CREATE VIEW trueup.v_kept DEFINER = CURRENT_USER SQL SECURITY DEFINER AS SELECT a FROM trueup.kept"
        )
    yield running
    running.stop()


@pytest.fixture(scope="module")
def secret(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("secret") / "secret.csv"
    path.write_text(SECRET + "\n")
    return path


@pytest.mark.parametrize("user", ["trueup:wrong", "nobody:wrong", f"analyst:{PASSWORD}", "trueup:", ":"])
def test_a_wrong_password_is_refused(server: ClickHouseServer, user: str) -> None:
    status, text = server.curl("SELECT 1", user=user)
    assert status == 401
    assert "Code: 516. DB::Exception" in text
    assert PASSWORD not in text


def test_no_credentials_are_refused(server: ClickHouseServer) -> None:
    done = subprocess.run(
        ["curl", "--silent", f"{server.url}?query=SELECT+1"], capture_output=True, check=False, timeout=60
    )
    assert b"Code: 516" in done.stdout


def test_every_way_to_say_the_password_works(server: ClickHouseServer) -> None:
    by_header = ["--header", "X-ClickHouse-User: trueup", "--header", f"X-ClickHouse-Key: {PASSWORD}"]
    for options, url in (
        (by_header, f"{server.url}?query=SELECT+41%2B1"),
        ([], f"{server.url}?query=SELECT+41%2B1&user=trueup&password={PASSWORD}"),
    ):
        done = subprocess.run(["curl", "--silent", *options, url], capture_output=True, check=False, timeout=60)
        assert done.stdout == b"42\n"


def test_get_is_read_only(server: ClickHouseServer) -> None:
    url = f"{server.url}?query=DROP+TABLE+trueup.kept&user=trueup&password={PASSWORD}"
    done = subprocess.run(["curl", "--silent", url], capture_output=True, check=False, timeout=60)
    assert b"Code: 164" in done.stdout


def test_the_analyst_reads(server: ClickHouseServer) -> None:
    with server.analyst() as analyst:
        assert analyst.query("SELECT sum(a) FROM v_kept").result_rows == [(45,)]
        assert analyst.query("SELECT sum(a) FROM trueup.v_kept").result_rows == [(45,)]
        assert analyst.command("SHOW TABLES") == "v_kept"
        assert analyst.query("DESCRIBE v_kept").result_rows[0][:2] == ("a", "UInt64")
        assert "trueup.v_kept" in str(analyst.command("SHOW CREATE TABLE v_kept"))
        assert analyst.command("EXISTS v_kept") == 1
        assert "ReadFromSystemOne" in str(analyst.command("EXPLAIN SELECT 1"))
        assert analyst.query("WITH x AS (SELECT a FROM v_kept) SELECT count() FROM x").result_rows == [(10,)]
        assert analyst.query_arrow("SELECT a FROM v_kept").num_rows == 10
    assert server.analyst_curl("SELECT 1 AS file_count -- it's fine")[1] == "1\n"
    assert server.analyst_curl("SELECT 'file(1); DROP TABLE kept'") == (200, "file(1); DROP TABLE kept\n")
    assert server.analyst_curl("SELECT getSetting('max_execution_time')", "?max_execution_time=9") == (200, "9\n")


@pytest.mark.parametrize(
    "query",
    [
        "SELECT * FROM kept",
        "SELECT * FROM trueup.kept",
        "SELECT * FROM `trueup`.`kept`",
        "SELECT a, (SELECT sum(a) FROM trueup.kept) FROM v_kept",
        "SELECT * FROM view(SELECT * FROM trueup.kept)",
        "SELECT * FROM v_kept WHERE a IN trueup.kept",
        "SELECT * FROM merge('trueup', 'kept')",
        "SELECT * FROM merge('system', 'processes')",
        "SELECT * FROM mergeTreeIndex('trueup', 'kept')",
        "SELECT * FROM loop('trueup', 'kept')",
        "SELECT * FROM cluster('default', 'trueup', 'kept')",
        "SELECT * FROM dictionary('kept')",
        "DESCRIBE TABLE trueup.kept",
        "SHOW CREATE TABLE trueup.kept",
        "EXPLAIN SELECT * FROM trueup.kept",
        "SELECT * FROM system.processes",
        "SELECT * FROM `system`.`processes`",
        "SELECT * FROM `sy\\x73tem`.processes",
        "SELECT * FROM `system.processes`",
        "SELECT * FROM system . /* x */ processes",
        "SELECT 1 WHERE 1 IN (SELECT 1 FROM system.errors)",
        "SELECT * FROM system.stack_trace",
        "SELECT * FROM system.disks",
        "SELECT * FROM system.server_settings",
        "SELECT * FROM system.query_cache",
        "SHOW PROCESSLIST",
        "show /* x */ processlist",
        "SHOW USERS",
    ],
)
def test_the_analyst_reads_nothing_but_the_views(server: ClickHouseServer, query: str) -> None:
    status, text = server.analyst_curl(query)
    assert status in (403, 404), text
    assert text.startswith("Code: ")


def test_the_questions_of_stock_clients_are_answered(server: ClickHouseServer) -> None:
    engine = sqlalchemy.create_engine(
        f"clickhousedb://analyst:{ANALYST_PASSWORD}@127.0.0.1:{server.port}/trueup", poolclass=sqlalchemy.NullPool
    )
    asked = sqlalchemy.inspect(engine)
    assert "trueup" in asked.get_schema_names()
    assert asked.has_table("v_kept")
    assert [column["name"] for column in asked.get_columns("v_kept")] == ["a"]
    with engine.connect() as connection:
        assert connection.execute(sqlalchemy.text("SELECT sum(a) FROM v_kept")).scalar() == 45
    of_jdbc = (
        (
            "SELECT t.name, d.engine FROM system.tables t JOIN system.databases d ON system.tables.database = "
            "system.databases.name WHERE t.database LIKE 'trueup' AND t.name LIKE '%' AND (t.is_temporary = 0)"
        ),
        "SELECT table, name, type, comment, position FROM system.columns WHERE database LIKE 'trueup'",
        "SELECT currentUser() AS user, timezone() AS timezone, version() AS version LIMIT 1",
        "SELECT name FROM system.functions LIMIT 1",
        "SELECT name FROM system.databases ORDER BY name",
    )
    assert [server.analyst_curl(query)[0] for query in of_jdbc] == [200] * len(of_jdbc)


@pytest.mark.parametrize(
    ("query", "url"),
    [
        ("SELECT * FROM {t:Identifier}", "?param_t=kept"),
        ("SELECT * FROM {d:Identifier}.processes", "?param_d=system"),
        ("SELECT * FROM {t:Identifier}", "?param_t=system.processes"),
        ("SELECT * FROM processes", "?database=system"),
        ("SELECT * FROM processes", "?database=SYSTEM"),
    ],
)
def test_the_analyst_does_not_get_round_it_by_the_request(server: ClickHouseServer, query: str, url: str) -> None:
    status, text = server.analyst_curl(query, url)
    assert (status, "Code: 497" in text) == (403, True)


def test_tables_below_the_views_are_not_listed_to_the_analyst(server: ClickHouseServer) -> None:
    listed = "SELECT name FROM system.tables WHERE database IN ('trueup', 'default')"
    assert server.analyst_curl(listed) == (200, "v_kept\n")
    columns = "SELECT table, name FROM system.columns WHERE database = 'trueup'"
    assert server.analyst_curl(columns) == (200, "v_kept\ta\n")
    assert server.analyst_curl("SHOW COLUMNS FROM kept FROM trueup") == (200, "")
    assert server.analyst_curl("SELECT count() FROM system.parts WHERE database = 'trueup'") == (200, "0\n")
    assert server.analyst_curl("SELECT table_name FROM information_schema.tables WHERE table_schema = 'trueup'") == (
        200,
        "v_kept\n",
    )


@pytest.mark.parametrize(
    "query",
    [
        "INSERT INTO trueup.kept VALUES (1)",
        "INSERT INTO trueup.kept SELECT 1",
        "WITH 1 AS x INSERT INTO trueup.kept SELECT x",
        "CREATE TABLE made (a UInt8) ENGINE = Memory",
        "CREATE TEMPORARY TABLE made (a UInt8)",
        "DROP TABLE trueup.kept",
        "TRUNCATE TABLE trueup.kept",
        "ALTER TABLE trueup.kept DELETE WHERE 1",
        "OPTIMIZE TABLE trueup.kept",
        "RENAME TABLE trueup.kept TO gone",
        "DETACH TABLE trueup.kept",
        "KILL QUERY WHERE 1",
        "SYSTEM STOP MERGES",
        "USE system",
        "SET max_execution_time = 0",
        "SET readonly = 0",
        "SET profile = 'default'",
        "SELECT 1; DROP TABLE trueup.kept",
        "SELECT 1;;DROP TABLE trueup.kept",
        "/* SELECT 1 */ DROP TABLE trueup.kept",
        "SELECT 1 SETTINGS readonly = 0",
        "SELECT 1 SETTINGS max_execution_time = 0",
        "SELECT 1 SETTINGS max_memory_usage = 0",
        "SELECT 1 UNION ALL SELECT 2 SETTINGS max_execution_time = 0",
        "SELECT 1 SETTINGS profile = 'default', max_threads = 9",
        "GRANT ALL ON *.* TO default",
        "EXECUTE AS default SELECT 1",
        "BACKUP TABLE trueup.kept TO File('b')",
        "SELECT count() FROM system.users",
        "SELECT loop FROM loop(trueup.v_kept)",
        "ATTACH TABLE trueup.kept",
        "EXCHANGE TABLES kept AND v_kept",
        "CREATE USER me",
        "SET ROLE owner",
        "SET DEFAULT ROLE owner TO default",
        "SHOW GRANTS",
        "DELETE FROM trueup.kept WHERE 1",
        "UPDATE kept SET a = 1 WHERE 1",
        "CREATE FUNCTION one AS () -> 1",
        "CREATE VIEW v_mine AS SELECT 1",
        "EXPLAIN ANALYZE INSERT INTO trueup.kept VALUES (1)",
    ],
)
def test_the_analyst_changes_nothing(server: ClickHouseServer, query: str) -> None:
    status, text = server.analyst_curl(query)
    assert status >= 400
    assert text.startswith("Code: ")
    assert server.analyst_curl("SELECT sum(a), count() FROM v_kept") == (200, "45\t10\n")


@pytest.mark.parametrize(
    "query",
    [
        "SELECT * FROM file('{path}')",
        "SELECT file('{path}')",
        "SELECT FILE /* x */ ('{path}')",
        "SELECT `file`('{path}')",
        "SELECT \"file\"('{path}')",
        "SELECT `fi\\x6ce`('{path}')",
        "SELECT “file”('{path}')",
        "SELECT file\u00a0('{path}')",
        "SELECT file # x\n('{path}')",
        "SELECT arrayMap(file, ['{path}'])",
        "SELECT arrayMap(x -> file(x), ['{path}'])",
        "SELECT * APPLY file FROM (SELECT '{path}')",
        "SELECT * APPLY(file) FROM (SELECT '{path}')",
        "SELECT * FROM eval('SELECT file(''{path}'')')",
        "EXPLAIN SELECT file('{path}')",
        "SELECT * FROM `{path}`",
        "SELECT * FROM _overlay.`{path}`",
        "SELECT * FROM default.`{path}`",
        "SELECT * FROM url('file://{path}', 'CSV', 'a String')",
        "SELECT * FROM sqlite('{path}', 't')",
        "SELECT * FROM filesystem('{path}')",
        "SELECT * FROM executable('cat', 'CSV', 'a String')",
        "SELECT * FROM s3('http://127.0.0.1:1/bucket/key', 'CSV')",
        "SELECT * FROM remote('127.0.0.1:1', 'system.one')",
        "SELECT * FROM mysql('127.0.0.1:1', 'd', 't', 'u', 'p')",
        "SELECT * FROM Python(settings)",
        "SELECT * FROM arrowstream(1)",
        "SELECT 1 INTO OUTFILE '{path}' TRUNCATE",
        "SELECT 1 INTO /* x */ OUTFILE '{path}' TRUNCATE",
    ],
)
def test_the_analyst_reaches_nothing_outside_the_store(server: ClickHouseServer, secret: Path, query: str) -> None:
    status, text = server.analyst_curl(query.replace("{path}", str(secret)))
    assert status >= 400
    assert SECRET not in text
    assert secret.read_text() == SECRET + "\n"
    assert server.answers_ping()


@pytest.mark.parametrize(
    "query",
    [
        "SELECT file('{path}')",
        "SELECT * FROM file('{path}')",
        "INSERT INTO trueup.kept FROM INFILE '{path}' FORMAT CSV",
        "INSERT INTO FUNCTION file('{path}', 'CSV', 'a UInt64') SELECT 1",
        "SELECT 1 INTO OUTFILE '{path}' TRUNCATE",
        "CREATE TABLE outside (a String) ENGINE = File(CSV, '{path}')",
        "CREATE TABLE outside (a String) ENGINE = `File`(CSV, '{path}')",
        "CREATE TABLE outside (a String) ENGINE = URL('http://127.0.0.1:1/')",
    ],
)
def test_the_writer_reaches_no_files_either(server: ClickHouseServer, secret: Path, query: str) -> None:
    status, text = server.curl(query.replace("{path}", str(secret)))
    assert (status, "Code: 497" in text) == (403, True)
    assert secret.read_text() == SECRET + "\n"


@pytest.mark.parametrize(
    "url",
    [
        "?max_execution_time=0",
        "?max_execution_time=100000",
        "?max_execution_time=-1",
        "?max_memory_usage=0",
        "?max_result_rows=0",
        "?readonly=0",
        "?profile=default",
        "?allow_ddl=1",
        "?max_result_bytes=0",
    ],
)
def test_the_analyst_cannot_lift_a_bound(server: ClickHouseServer, url: str) -> None:
    status, text = server.analyst_curl("SELECT 1", url)
    assert (status, "Code: 164" in text) == (500, True)


def test_the_analyst_is_bounded(server: ClickHouseServer) -> None:
    _, slow = server.analyst_curl("SELECT sum(sipHash64(number)) FROM numbers(100000000000)", "?max_execution_time=1")
    assert "Code: 159" in slow
    asked = "SELECT * FROM (SELECT getSetting('max_execution_time') SETTINGS max_execution_time = 0)"
    assert server.analyst_curl(asked, "?max_execution_time=7") == (200, "7\n"), "a subquery's SETTINGS change nothing"
    _, large = server.analyst_curl("SELECT uniqExact(number) FROM numbers(100000000)", "?max_memory_usage=100000000")
    assert "Code: 241" in large
    _, long = server.analyst_curl("SELECT number FROM numbers(2000000) FORMAT JSON")
    assert "Code: 396" in long


def test_clickhouse_connect_tells_the_analyst_why(server: ClickHouseServer) -> None:
    with server.client("analyst", ANALYST_PASSWORD) as analyst, pytest.raises(DatabaseError) as refused:
        analyst.command("DROP TABLE trueup.kept")
    assert refused.value.code == 497


def test_passwords_are_nowhere_to_be_read(server: ClickHouseServer) -> None:
    for password in (PASSWORD, ANALYST_PASSWORD):
        written = [p for p in (server.data_dir / "config").iterdir() if password in p.read_text()]
        assert written == []
        assert password not in server.log.read_text()
