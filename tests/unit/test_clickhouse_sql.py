"""The lexer tells statements apart, finds an INSERT's rows and sees calls through every quoting."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trueup.embedded.clickhouse.errors import EngineError
from trueup.embedded.clickhouse.sql import Kind, lex, read_statement, refuse_calls, refuse_mention

FILE = frozenset({"file"})


@pytest.mark.parametrize(
    ("text", "kind", "output_format", "streams"),
    [
        ("SELECT 1", Kind.READ, None, True),
        ("  -- hello\n/* ; */ select 1 format JSON;", Kind.READ, "JSON", True),
        ("SELECT 1 FORMAT CSV SETTINGS max_threads = 1", Kind.READ, "CSV", True),
        ("SELECT format FROM t", Kind.READ, None, True),
        ("SELECT 1 AS format", Kind.READ, None, True),
        ("SELECT 'x FORMAT JSON'", Kind.READ, None, True),
        ("(SELECT 1) UNION ALL (SELECT 2) FORMAT TSV", Kind.READ, "TSV", True),
        ("SELECT * FROM (SELECT 1 FORMAT JSON)", Kind.READ, None, True),
        ("SHOW TABLES", Kind.READ, None, False),
        ("DESCRIBE TABLE t FORMAT Native", Kind.READ, "Native", False),
        ("SET a = 1", Kind.SESSION, None, False),
        ("USE books", Kind.SESSION, None, False),
        ("CREATE TEMPORARY TABLE t (a Int8)", Kind.SESSION, None, False),
        ("CREATE OR REPLACE TEMPORARY TABLE t (a Int8)", Kind.SESSION, None, False),
        ("CREATE TABLE t (a Int8) ENGINE = Memory", Kind.OTHER, None, False),
        ("SELECT $$;$$, $a$ ; $$ $a$", Kind.READ, None, True),
        ('SELECT `;`, "a"";"', Kind.READ, None, True),
        ("BEGIN", Kind.OTHER, None, False),
    ],
)
def test_shape_of_a_statement(text: str, kind: Kind, output_format: str | None, streams: bool) -> None:
    found = read_statement(text.encode())
    assert (found.kind, found.output_format, found.streams, found.insert) == (kind, output_format, streams, None)


@pytest.mark.parametrize(
    ("text", "statement", "data_format", "rows"),
    [
        ("INSERT INTO t VALUES (1)", "INSERT INTO t", "Values", " (1)"),
        ("insert into t(a, b) values('x;')", "insert into t(a, b)", "Values", "('x;')"),
        ("INSERT INTO t FORMAT CSV\n1\n2", "INSERT INTO t", "CSV", "1\n2"),
        ("INSERT INTO t FORMAT CSV \t\r\n\n1", "INSERT INTO t", "CSV", "\n1"),
        ('INSERT INTO t FORMAT JSONEachRow {"a":1}', "INSERT INTO t", "JSONEachRow", '{"a":1}'),
        ("INSERT INTO db.`t` (`a b`) SETTINGS x = 1 FORMAT Native\n\x01'", None, "Native", "\x01'"),
        ("INSERT INTO TABLE values VALUES (1)", "INSERT INTO TABLE values", "Values", " (1)"),
        ("INSERT INTO format FORMAT CSV\n1", "INSERT INTO format", "CSV", "1"),
        ("INSERT INTO t (format, values) VALUES (1, 2)", "INSERT INTO t (format, values)", "Values", " (1, 2)"),
        ("INSERT INTO t FORMAT CSV\n';drop table t", "INSERT INTO t", "CSV", "';drop table t"),
        ("INSERT INTO t", "INSERT INTO t", "Values", ""),
        ("INSERT INTO t (a);", "INSERT INTO t (a)", "Values", ""),
    ],
)
def test_where_the_rows_of_an_insert_begin(text: str, statement: str | None, data_format: str, rows: str) -> None:
    found = read_statement(text.encode()).insert
    assert found is not None
    assert found.data_format == data_format
    assert text.encode()[found.offset :].decode() == rows
    if statement is not None:
        assert found.statement.decode() == statement


@pytest.mark.parametrize(
    "text", ["INSERT INTO t SELECT 1", "INSERT INTO t (a) WITH 1 AS x SELECT x", "INSERT INTO t FROM x"]
)
def test_an_insert_from_a_query_has_no_rows(text: str) -> None:
    found = read_statement(text.encode())
    assert (found.kind, found.insert) == (Kind.INSERT, None)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " -- nothing\n",
        "/* never closed",
        "SELECT 1; SELECT 2",
        "SELECT 1;;x",
        "INSERT INTO t SELECT 1; DROP TABLE t",
        "INSERT INTO t (a); DROP TABLE t",
        "SELECT 'x",
        "SELECT `x",
        "exit",
        "quit;",
        "\\q",
        "INSERT INTO t FORMAT",
    ],
)
def test_what_is_no_single_statement_is_a_syntax_error(text: str) -> None:
    with pytest.raises(EngineError) as refused:
        read_statement(text.encode())
    assert (refused.value.code, refused.value.status) == (62, 400)


@pytest.mark.parametrize(
    "text",
    [
        "SELECT file('x')",
        "SELECT FiLe /* */ -- \n ('x')",
        "SELECT `file`('x')",
        "SELECT \"file\"('x')",
        "SELECT “file”('x')",
        "SELECT `\\x66ile`('x')",
        "SELECT file\u2003('x')",
        "SELECT * APPLY file FROM t",
        "SELECT * APPLY ( file ) FROM t",
        "SELECT 1 INTO OUTFILE 'x'",
        "SELECT 1 into -- x\n outfile 'x'",
        "INSERT INTO t FROM INFILE 'x' FORMAT CSV",
    ],
)
def test_calls_are_seen_through_quotes_and_blanks(text: str) -> None:
    with pytest.raises(EngineError) as refused:
        refuse_calls(lex(text.encode()), FILE)
    assert (refused.value.code, refused.value.status) == (497, 403)


@pytest.mark.parametrize("text", ["SELECT 'file(1)'", "SELECT file", "SELECT t.file, profile(1)", "SELECT $$file(1)$$"])
def test_what_is_no_call_passes(text: str) -> None:
    refuse_calls(lex(text.encode()), FILE)
    assert read_statement(text.encode()).kind is Kind.READ


def test_a_mention_is_refused_where_it_can_be_called() -> None:
    refuse_mention(lex(b"SELECT t.file, 'file' FROM t"), FILE)
    with pytest.raises(EngineError, match="file"):
        refuse_mention(lex(b"SELECT arrayMap(file, ['x'])"), FILE)


@given(st.binary(max_size=200))
def test_any_bytes_are_lexed_or_refused(text: bytes) -> None:
    try:
        ends = [token.end for token in lex(text)]
    except EngineError:
        return
    assert ends == sorted(set(ends))


@given(st.text(max_size=50))
def test_a_quoted_text_is_one_token(text: str) -> None:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    found = list(lex(f"SELECT '{escaped}' x".encode()))
    assert [token.kind for token in found] == ["word", "string", "word"]


@given(st.binary(max_size=300))
def test_rows_are_never_read_as_sql(rows: bytes) -> None:
    text = b"INSERT INTO t (a) FORMAT Native\n" + rows
    found = read_statement(text).insert
    assert found is not None
    assert text[found.offset :] == rows
