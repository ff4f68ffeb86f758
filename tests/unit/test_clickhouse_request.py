"""Requests as ClickHouse reads them: parameters, headers, forms, users, bodies in every encoding."""

import asyncio
import base64
import gzip
import io
import zlib
from pathlib import Path

import lz4.frame
import pyarrow as pa
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from trueup.embedded.clickhouse.access import authenticate, settings_for
from trueup.embedded.clickhouse.encodings import ARROW_END, Body, encoder, join_arrow
from trueup.embedded.clickhouse.errors import EngineError, from_engine
from trueup.embedded.clickhouse.job import Job, read_form_body, read_job
from trueup.embedded.clickhouse.lanes import Lane
from trueup.embedded.clickhouse.request import HttpQuery, read_form, read_request
from trueup.embedded.clickhouse.settings import EndpointLimits, EndpointSettings, EndpointUser
from trueup.embedded.clickhouse.sql import Kind

LIMITS = EndpointLimits()
WRITER = EndpointUser("trueup", "secret-w", read_only=False)
ANALYST = EndpointUser("analyst", "secret-a", read_only=True)
USERS = (WRITER, ANALYST)


def request(*parameters: tuple[str, str], method: str = "POST", **headers: str) -> HttpQuery:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return read_request(method, parameters, named, "made-up-id", LIMITS)


def job(asked: HttpQuery, body: bytes = b"", limits: EndpointLimits = LIMITS) -> Job:
    return read_job(asked, WRITER, {}, io.BytesIO(body), limits)


def basic(name: str, password: str) -> dict[str, str]:
    return {"authorization": "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()}


def test_parameters_are_sorted_into_query_settings_and_wishes() -> None:
    asked = request(
        ("query", "SELECT 1"),
        ("param_x", "a"),
        ("max_threads", "2"),
        ("database", "books"),
        ("default_format", "CSV"),
        ("query_id", "q"),
        ("wait_end_of_query", "1"),
        ("client_protocol_version", "54405"),
        ("session_id", "s"),
        ("session_timeout", "30"),
        ("send_progress_in_http_headers", "1"),
    )
    assert (asked.text, asked.query_id, asked.database, asked.default_format) == (b"SELECT 1", "q", "books", "CSV")
    assert asked.settings == {"max_threads": "2"}
    assert asked.parameters == {"x": "a"}
    assert asked.wait_end_of_query
    assert asked.session is not None
    assert (asked.session.session_id, asked.session.timeout_seconds, asked.session.must_exist) == ("s", 30, False)
    assert not asked.read_only


def test_headers_say_the_same_as_parameters() -> None:
    asked = request(method="GET", x_clickhouse_format="JSON", x_clickhouse_database="books", x_clickhouse_query_id="q")
    assert (asked.query_id, asked.database, asked.default_format, asked.read_only) == ("q", "books", "JSON", True)
    assert request().query_id == "made-up-id"


@pytest.mark.parametrize(
    ("accepted", "enabled", "expected"),
    [
        ("lz4,zstd,gzip", "1", "lz4"),
        ("gzip, deflate", "1", "gzip"),
        ("zstd;q=0.5", "1", "zstd"),
        ("br", "1", None),
        ("gzip", "0", None),
        ("", "1", None),
    ],
)
def test_compression_needs_the_header_and_the_setting(accepted: str, enabled: str, expected: str | None) -> None:
    asked = request(("enable_http_compression", enabled), accept_encoding=accepted)
    assert asked.response_encoding == expected


@pytest.mark.parametrize(
    ("parameter", "code"),
    [
        (("compress", "1"), 48),
        (("decompress", "1"), 48),
        (("role", "admin"), 48),
        (("session_timeout", "99999"), 374),
        (("session_timeout", "x"), 374),
    ],
)
def test_what_is_not_offered_is_refused(parameter: tuple[str, str], code: int) -> None:
    with pytest.raises(EngineError) as refused:
        request(("session_id", "s"), parameter)
    assert refused.value.code == code


def test_an_unknown_request_encoding_is_refused() -> None:
    with pytest.raises(EngineError, match="compression method: br"):
        request(content_encoding="br")


def form_of(*parts: str) -> tuple[str, bytes]:
    body = "".join(f"--edge\r\nContent-Disposition: form-data; {part}\r\n" for part in parts) + "--edge--\r\n"
    return "multipart/form-data; boundary=edge", body.encode()


def test_a_form_carries_query_and_parameters() -> None:
    content_type, body = form_of('name="query"\r\n\r\nSELECT {x:String}', 'name="param_x"\r\n\r\nä\\n\r\nb')
    asked = read_form_body(request(content_type=content_type), io.BytesIO(body), LIMITS)
    assert asked.text == b"SELECT {x:String}"
    assert asked.parameters == {"x": "ä\\n\r\nb"}


def test_an_external_table_is_refused() -> None:
    content_type, body = form_of('name="t"; filename="t"\r\n\r\n1')
    with pytest.raises(EngineError) as refused:
        read_form(content_type, body)
    assert refused.value.code == 48


@pytest.mark.parametrize(
    ("headers", "parameters", "expected"),
    [
        (basic("trueup", "secret-w"), {}, WRITER),
        (basic("analyst", "secret-a"), {}, ANALYST),
        ({"x-clickhouse-user": "analyst", "x-clickhouse-key": "secret-a"}, {}, ANALYST),
        ({}, {"user": "trueup", "password": "secret-w"}, WRITER),
    ],
)
def test_the_right_password_proves_a_user(
    headers: dict[str, str], parameters: dict[str, str], expected: EndpointUser
) -> None:
    assert authenticate(USERS, headers, parameters) is expected


@pytest.mark.parametrize(
    ("headers", "parameters"),
    [
        ({}, {}),
        (basic("trueup", "secret-a"), {}),
        (basic("nobody", ""), {}),
        ({"authorization": "Basic ???"}, {}),
        ({"authorization": "Bearer secret-w"}, {}),
        ({"x-clickhouse-user": "trueup"}, {"password": "secret-w"}),
        ({}, {"user": "TRUEUP", "password": "secret-w"}),
    ],
)
def test_anything_else_proves_nobody(headers: dict[str, str], parameters: dict[str, str]) -> None:
    with pytest.raises(EngineError) as refused:
        authenticate(USERS, headers, parameters)
    assert (refused.value.code, refused.value.status) == (516, 401)


def test_an_analyst_is_bounded_and_may_ask_for_less() -> None:
    chosen = settings_for(ANALYST, {"max_execution_time": "5", "final": "1", "readonly": "2"}, LIMITS)
    assert chosen["max_execution_time"] == "5"
    assert chosen["final"] == "1"
    assert chosen["max_memory_usage"] == str(LIMITS.analyst_memory_bytes)
    assert "readonly" not in chosen
    assert settings_for(WRITER, {"max_execution_time": "0"}, LIMITS)["max_execution_time"] == "0"


@given(st.text(max_size=20), st.text(max_size=20))
def test_no_setting_lifts_an_analysts_bound(name: str, value: str) -> None:
    for asked in ({name: value}, {"max_execution_time": value}, {"max_result_rows": value}):
        try:
            chosen = settings_for(ANALYST, asked, LIMITS)
        except EngineError:
            continue
        assert 1 <= int(chosen["max_execution_time"]) <= LIMITS.analyst_seconds_max
        assert 1 <= int(chosen["max_result_rows"]) <= LIMITS.analyst_result_rows_max


@pytest.mark.parametrize("name", ["a b", "x = 1, readonly", "", "ä", "a'b"])
def test_a_setting_name_is_a_name(name: str) -> None:
    with pytest.raises(EngineError) as refused:
        settings_for(WRITER, {name: "1"}, LIMITS)
    assert refused.value.code == 115


@given(st.binary(max_size=5000), st.sampled_from(["lz4", "zstd", "gzip", "deflate", None]), st.integers(1, 100))
def test_what_is_encoded_is_decoded(content: bytes, encoding: str | None, size: int) -> None:
    encode = encoder(encoding)
    pieces = [content[at : at + size] for at in range(0, len(content), size)]
    sent = b"".join(map(encode.encode, pieces)) + encode.finish()
    assert b"".join(Body(io.BytesIO(sent), encoding or "", 5000).pieces()) == content


@pytest.mark.parametrize(
    ("encoding", "sent"),
    [
        ("gzip", gzip.compress(b"x" * 10_000)),
        ("zstd", zstandard.compress(b"x" * 10_000)),
        ("lz4", lz4.frame.compress(b"x" * 10_000)),
        ("deflate", zlib.compress(b"x" * 10_000)),
    ],
    # The names of tests must not depend on the clock, which gzip writes into its header.
    ids=["gzip", "zstd", "lz4", "deflate"],
)
def test_a_body_is_bounded_after_decoding_and_its_damage_is_told(encoding: str, sent: bytes) -> None:
    with pytest.raises(EngineError) as large:
        list(Body(io.BytesIO(sent), encoding, 9_999).pieces())
    assert (large.value.code, large.value.status) == (307, 413)
    for damaged in (b"\x00\x01\x02\x03\x04\x05" + sent, b"not compressed at all"):
        with pytest.raises(EngineError) as broken:
            list(Body(io.BytesIO(damaged), encoding, 1 << 20).pieces())
        assert broken.value.code == 271


def test_the_blocks_of_an_arrow_result_are_one_stream() -> None:
    batches = [pa.record_batch({"n": list(range(at, at + 3)), "s": ["ä"] * 3}) for at in (0, 3, 6)]
    blocks = []
    for batch in batches:
        sink = io.BytesIO()
        with pa.ipc.new_stream(sink, batch.schema) as writer:
            writer.write_batch(batch)
        blocks.append(sink.getvalue())
    joined = b"".join(join_arrow(block, first=at == 0) for at, block in enumerate(blocks)) + ARROW_END
    assert pa.ipc.open_stream(joined).read_all().column("n").to_pylist() == list(range(9))


def test_a_query_in_the_body_follows_the_one_in_the_address() -> None:
    assert job(request(("query", "SELECT 1 +")), b"1").text == b"SELECT 1 +\n1"
    found = job(request(("query", "INSERT INTO t FORMAT CSV")), b"1\n2\n")
    assert found.text == b"INSERT INTO t"
    assert found.rows is not None
    assert b"".join(found.rows.pieces()) == b"1\n2\n"
    assert found.is_write


def test_rows_longer_than_the_head_are_read_on() -> None:
    rows = b"".join(b"%d\n" % number for number in range(200_000))
    found = job(request(), b"INSERT INTO t FORMAT CSV\n" + rows)
    assert found.rows is not None
    assert b"".join(found.rows.pieces()) == rows


def test_a_long_query_is_read_whole_and_a_too_long_one_refused() -> None:
    text = b"SELECT " + b"1, " * 200_000 + b"1 -- insert"
    assert job(request(), text).statement.kind is Kind.READ
    with pytest.raises(EngineError) as refused:
        job(request(), text, EndpointLimits(query_text_bytes_max=500_000))
    assert (refused.value.code, refused.value.status) == (229, 413)


def test_bound_parameters_keep_the_rows_in_the_text() -> None:
    found = job(request(("param_x", "1")), b"INSERT INTO t VALUES ({x:Int8})")
    assert (found.rows, found.text) == (None, b"INSERT INTO t VALUES ({x:Int8})")


def test_errors_keep_the_engines_code_and_text() -> None:
    error = from_engine(RuntimeError("Code: 60. DB::Exception: Unknown table. (UNKNOWN_TABLE)"))
    assert (error.code, error.status) == (60, 404)
    assert error.body("26.9") == "Code: 60. DB::Exception: Unknown table. (UNKNOWN_TABLE) (version 26.9)\n"
    assert (
        from_engine(RuntimeError("odd")).body("26.9")
        == "Code: 1001. DB::Exception: odd (STD_EXCEPTION) (version 26.9)\n"
    )


def test_a_full_lane_refuses() -> None:
    async def crowd() -> list[int]:
        lane = Lane(slots=1, queued_max=2, queue_seconds_max=0.05)
        codes = []

        async def query() -> None:
            try:
                async with lane.slot():
                    await asyncio.sleep(0.2)
                codes.append(0)
            except EngineError as refused:
                codes.append(refused.code)

        await asyncio.gather(*(query() for _ in range(5)))
        async with lane.slot():
            codes.append(1)
        return codes

    assert sorted(asyncio.run(crowd())) == [0, 1, 202, 202, 202, 202]


def test_settings_never_print_a_password() -> None:
    settings = EndpointSettings(Path("data"), 8123, USERS)
    assert "secret" not in repr(settings)
