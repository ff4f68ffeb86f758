"""Just enough of ClickHouse's lexer to tell what a statement is, where an INSERT's data begins, and what it calls."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from itertools import pairwise
from typing import Final, NamedTuple

from trueup.embedded.clickhouse.errors import ACCESS_DENIED, SYNTAX_ERROR, EngineError

# Non-ASCII bytes outside of quotes count as blanks, as the several Unicode spaces do in ClickHouse;
# typographic quotes (\xe2\x80\x98 … and \xe2\x80\x9c …) quote, as they do there.
_TOKEN = re.compile(
    rb"""
    (?P<blank>(?:[\s\x00\x7f-\xe1\xe3-\xff]|\xe2(?!\x80[\x98\x9c])|--[^\n]*|\#[ !][^\n]*|/\*.*?(?:\*/|\Z))+)
  | (?P<string>'(?:[^'\\]|\\.|'')*'|\xe2\x80\x98.*?\xe2\x80\x99|\$(?P<tag>\w*)\$.*?\$(?P=tag)\$)
  | (?P<quoted>"(?:[^"\\]|\\.|"")*"|`(?:[^`\\]|\\.|``)*`|\xe2\x80\x9c.*?\xe2\x80\x9d)
  | (?P<word>[A-Za-z_][A-Za-z0-9_$]*)
  | (?P<number>[0-9][A-Za-z0-9_.]*)
  | (?P<open>[(\[{])
  | (?P<close>[)\]}])
  | (?P<end>;)
  | (?P<unfinished>['"`]|\xe2\x80[\x98\x9c])
  | (?P<other>.)
    """,
    re.VERBOSE | re.DOTALL,
)
# After `FORMAT name`, the rows begin behind the blanks and one newline.
_BLANK_AFTER_FORMAT = re.compile(rb"[ \t\f]*\r?\n?")
# They read files, this process's memory or a text as SQL; the engine's own grants do not cover them.
_NEVER_CALLED: Final = frozenset({"arrowstream", "eval", "executable", "file", "filesystem", "python"})
_FILE_CLAUSES: Final = frozenset({("INTO", "OUTFILE"), ("FROM", "INFILE")})
_READS: Final = frozenset({"SELECT", "WITH", "SHOW", "DESCRIBE", "DESC", "EXPLAIN", "EXISTS", "FROM"})
_STREAMS: Final = frozenset({"SELECT", "WITH"})
_ONE_WORD_STATEMENTS: Final = frozenset({"BEGIN", "COMMIT", "ROLLBACK"})


class Kind(Enum):
    """What a statement does, as far as the endpoint must know."""

    READ = "read"
    INSERT = "insert"
    SESSION = "session"
    OTHER = "other"


class Token(NamedTuple):
    """One lexeme: its kind, its text, the offset behind it and how many brackets enclose it."""

    kind: str
    text: str
    end: int
    depth: int

    @property
    def keyword(self) -> str:
        """The word in capitals; "" for what cannot be a keyword."""
        return self.text.upper() if self.kind == "word" else ""


@dataclass(frozen=True, slots=True)
class InsertData:
    """An INSERT whose rows follow: the statement without `VALUES` or `FORMAT`, the rows' format, their offset."""

    statement: bytes
    data_format: str
    offset: int


@dataclass(frozen=True, slots=True)
class Statement:
    """The shape of one statement. `streams`: its result can be fetched block by block."""

    kind: Kind
    output_format: str | None
    insert: InsertData | None
    streams: bool


def lex(text: bytes) -> Iterator[Token]:
    """Yields the lexemes of text, blanks and comments left out.

    Raises:
        EngineError: SYNTAX_ERROR for a quote that is never closed.
    """
    depth = 0
    for found in _TOKEN.finditer(text):
        kind = "string" if found.lastgroup == "tag" else str(found.lastgroup)
        if kind == "blank":
            continue
        if kind == "unfinished":
            raise EngineError(SYNTAX_ERROR, f"Syntax error: the quote at position {found.start() + 1} is never closed.")
        if kind == "close":
            depth = max(0, depth - 1)
        yield Token(kind, found.group().decode(errors="replace"), found.end(), depth)
        if kind == "open":
            depth += 1


def read_statement(text: bytes) -> Statement:
    """The shape of the one statement in text; the rows of an INSERT may follow it and may be cut short.

    Raises:
        EngineError: SYNTAX_ERROR for no statement, several statements or an unclosed quote; ACCESS_DENIED
            for a statement that reaches for files or for this process.
    """
    lexemes = lex(text)
    first = next(lexemes, None)
    if first is None:
        raise EngineError(SYNTAX_ERROR, "Syntax error: Empty query.")
    if first.keyword == "INSERT":
        head, insert = _read_insert(text, first, lexemes)
        refuse_calls(head, _NEVER_CALLED)
        return Statement(Kind.INSERT, None, insert, streams=False)
    all_tokens = [first, *lexemes]
    _refuse_several(all_tokens)
    refuse_calls(all_tokens, _NEVER_CALLED)
    kind = _kind_of(all_tokens)
    streams = first.keyword in _STREAMS or first.text == "("
    return Statement(kind, _output_format(all_tokens), None, streams)


def refuse_calls(lexemes: Iterable[Token], names: frozenset[str]) -> None:
    """Refuses a call of one of names, in whatever quoting, and the clauses that read or write files.

    Raises:
        EngineError: ACCESS_DENIED.
    """
    applied = False
    for before, after in pairwise(lexemes):
        if (before.keyword, after.keyword) in _FILE_CLAUSES:
            raise EngineError(ACCESS_DENIED, f"{before.keyword} {after.keyword} is not allowed.")
        # `* APPLY f` and `* APPLY(f)` call f without brackets behind its name.
        applied = before.keyword == "APPLY" or (applied and before.text == "(")
        if applied:
            _refuse_name(after, names)
        if after.text == "(":
            _refuse_name(before, names)


def refuse_mention(lexemes: Iterable[Token], names: frozenset[str]) -> None:
    """Refuses one of names even without brackets, since `arrayMap(f, …)` calls f too; `table.f` is a column.

    Raises:
        EngineError: ACCESS_DENIED.
    """
    before = ""
    for token in lexemes:
        if before != ".":
            _refuse_name(token, names)
        before = token.text


def refuse_tables(lexemes: Iterable[Token], database: str, allowed: frozenset[str]) -> None:
    """Refuses tables of a database but the allowed ones, and names that are bound as parameters: they could be any.

    Raises:
        EngineError: ACCESS_DENIED.
    """
    before = earlier = ""
    for token in lexemes:
        name = _plain_name(token)
        if before == "." and earlier == database and name not in allowed:
            raise EngineError(ACCESS_DENIED, f"Not enough privileges. {database}.{name} may not be read here.")
        if before == ":" and token.keyword == "IDENTIFIER":
            raise EngineError(ACCESS_DENIED, "Not enough privileges. A parameter may not be a name here.")
        earlier, before = before, name


def refuse_shown(lexemes: Iterable[Token], allowed: frozenset[str]) -> None:
    """Refuses a SHOW statement of anything but what is allowed.

    Raises:
        EngineError: ACCESS_DENIED.
    """
    first, second = next(iter(words := iter(lexemes)), None), next(words, None)
    if first is not None and first.keyword == "SHOW" and (second is None or second.keyword not in allowed):
        raise EngineError(ACCESS_DENIED, "Not enough privileges. This may not be shown here.")


def _plain_name(token: Token) -> str:
    """A name in lower case without its quotes, any other lexeme as it is."""
    return token.text.strip('"`\u201c\u201d').lower()


def _refuse_name(token: Token, names: frozenset[str]) -> None:
    if token.kind not in ("word", "quoted"):
        return
    name = _plain_name(token)
    # An escape inside a quoted name could spell any of them.
    if name in names or (token.kind == "quoted" and "\\" in name):
        raise EngineError(ACCESS_DENIED, f"Not enough privileges. Function {name} is not allowed here.")


def _read_insert(text: bytes, first: Token, lexemes: Iterator[Token]) -> tuple[list[Token], InsertData | None]:
    """The tokens before the rows, and where the rows are; None for INSERT … SELECT."""
    seen = [first]
    named = False
    start_of_clause = first.end
    for token in lexemes:
        seen.append(token)
        if token.kind == "end":
            _refuse_several([*seen, *lexemes])
            break
        if token.depth == 0 and named:
            if token.keyword in ("SELECT", "WITH", "WATCH", "EXPLAIN", "FROM"):
                seen.extend(lexemes)
                _refuse_several(seen)
                return seen, None
            if token.keyword == "VALUES":
                return seen, InsertData(text[:start_of_clause], "Values", token.end)
            if token.keyword == "FORMAT":
                name = next(lexemes, None)
                if name is None or name.kind != "word":
                    raise EngineError(SYNTAX_ERROR, "Syntax error: a format name must follow FORMAT.")
                blank = _BLANK_AFTER_FORMAT.match(text, name.end)
                return seen, InsertData(text[:start_of_clause], name.text, blank.end() if blank else name.end)
        # INTO, TABLE and FUNCTION come before the name; a table may be called `values` or `format`.
        named = named or token.keyword not in ("INTO", "TABLE", "FUNCTION")
        start_of_clause = token.end
    return seen, InsertData(text[:start_of_clause], "Values", len(text)) if named else None


def _refuse_several(all_tokens: list[Token]) -> None:
    for before, after in pairwise(all_tokens):
        if before.kind == "end" and after.kind != "end":
            raise EngineError(SYNTAX_ERROR, "Syntax error (Multi-statements are not allowed).")
    words = [token for token in all_tokens if token.kind != "end"]
    # chDB would take a lone `exit` or `\q` for a command to its client and answer nothing.
    if len(words) <= 2 and not any(word.keyword in _ONE_WORD_STATEMENTS for word in words):
        significant = [word for word in words if word.kind != "other"]
        if len(significant) <= 1:
            raise EngineError(SYNTAX_ERROR, f"Syntax error: {all_tokens[0].text} is not a statement.")


def _kind_of(all_tokens: list[Token]) -> Kind:
    words = [token.keyword for token in all_tokens[:5]]
    if words[0] in _READS or all_tokens[0].text == "(":
        return Kind.READ
    if words[0] in ("SET", "USE") or (words[0] in ("CREATE", "DROP") and "TEMPORARY" in words):
        return Kind.SESSION
    return Kind.OTHER


def _output_format(all_tokens: list[Token]) -> str | None:
    """The name behind the last `FORMAT` that ends the statement or stands before SETTINGS."""
    found = None
    for at, token in enumerate(all_tokens[:-1]):
        name = all_tokens[at + 1]
        after = all_tokens[at + 2] if at + 2 < len(all_tokens) else None
        closes = after is None or after.kind == "end" or after.keyword == "SETTINGS"
        if token.keyword == "FORMAT" and token.depth == 0 and name.kind == "word" and closes:
            found = name.text
    return found
