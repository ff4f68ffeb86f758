"""One HTTP request as ClickHouse reads it: URL parameters and headers become a query, its settings and its wishes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from email.parser import BytesParser
from email.policy import HTTP
from typing import Final

from trueup.embedded.clickhouse.errors import BAD_ARGUMENTS, INVALID_SESSION_TIMEOUT, NOT_IMPLEMENTED, EngineError
from trueup.embedded.clickhouse.settings import EndpointLimits

# Of the request, not of the query: read here, or of no meaning to an embedded engine.
_REQUEST_NAMES: Final = frozenset(
    {"query", "query_id", "database", "default_format", "user", "password", "quota_key", "stacktrace", "compress"}
    | {"decompress", "wait_end_of_query", "buffer_size", "session_id", "session_timeout", "session_check"}
    | {"close_session", "client_protocol_version", "role", "enable_http_compression", "http_zlib_compression_level"}
    | {"send_progress_in_http_headers", "http_headers_progress_interval_ms", "http_response_buffer_size"}
    | {"cancel_http_readonly_queries_on_client_close", "http_wait_end_of_query", "add_http_cors_header", ""}
)
RESPONSE_ENCODINGS: Final = ("lz4", "zstd", "gzip", "deflate")
REQUEST_ENCODINGS: Final = (*RESPONSE_ENCODINGS, "identity", "")
_FORM: Final = "multipart/form-data"


@dataclass(frozen=True, slots=True)
class SessionWish:
    """A session_id with its timeout; `must_exist` answers SESSION_NOT_FOUND instead of opening one."""

    session_id: str
    timeout_seconds: int
    must_exist: bool


@dataclass(frozen=True, slots=True)
class HttpQuery:
    """What a request asks for. `text` is the URL's part of the query; the body follows it."""

    query_id: str
    text: bytes
    read_only: bool
    settings: Mapping[str, str] = field(default_factory=dict)
    parameters: Mapping[str, str] = field(default_factory=dict)
    database: str | None = None
    default_format: str = "TabSeparated"
    wait_end_of_query: bool = False
    response_encoding: str | None = None
    request_encoding: str = ""
    session: SessionWish | None = None
    form_content_type: str | None = None


def read_request(
    method: str,
    parameters: Iterable[tuple[str, str]],
    headers: Mapping[str, str],
    query_id: str,
    limits: EndpointLimits,
) -> HttpQuery:
    """The query of a request, the body aside.

    Args:
        method: GET makes the query read-only, as in ClickHouse.
        parameters: the URL's parameters in order; of a repeated one the last counts.
        headers: the request's headers, their names in lower case.
        query_id: the id to use when the request names none.
        limits: bounds for session timeouts.

    Raises:
        EngineError: for an option that ClickHouse would refuse or that this endpoint does not offer.
    """
    named = dict(parameters)
    for name in ("compress", "decompress"):
        if _flag(named, name):
            raise EngineError(
                NOT_IMPLEMENTED,
                f"{name}=1 (ClickHouse's own block compression) is not offered by the embedded endpoint; "
                "use enable_http_compression=1 with Accept-Encoding, or Content-Encoding",
            )
    if named.get("role"):
        raise EngineError(NOT_IMPLEMENTED, "Roles are not offered by the embedded endpoint")
    content_type = headers.get("content-type", "")
    request_encoding = headers.get("content-encoding", "").strip().lower()
    if request_encoding not in REQUEST_ENCODINGS:
        raise EngineError(NOT_IMPLEMENTED, f"Unknown compression method: {request_encoding[:32]}")
    return HttpQuery(
        query_id=named.get("query_id") or headers.get("x-clickhouse-query-id", "") or query_id,
        text=named.get("query", "").encode(),
        read_only=method in ("GET", "HEAD"),
        settings={n: v for n, v in named.items() if n not in _REQUEST_NAMES and not n.startswith("param_")},
        parameters={n.removeprefix("param_"): v for n, v in named.items() if n.startswith("param_")},
        database=headers.get("x-clickhouse-database", "") or named.get("database") or None,
        default_format=headers.get("x-clickhouse-format", "") or named.get("default_format") or "TabSeparated",
        wait_end_of_query=_flag(named, "wait_end_of_query") or _flag(named, "http_wait_end_of_query"),
        response_encoding=_response_encoding(named, headers.get("accept-encoding", "")),
        request_encoding=request_encoding,
        session=_session(named, limits),
        form_content_type=content_type if content_type.lower().startswith(_FORM) else None,
    )


def with_form(asked: HttpQuery, form: Mapping[str, bytes]) -> HttpQuery:
    """The query with the fields of its multipart form: `query` and `param_…`; other fields are settings."""
    text = asked.text
    settings, parameters = dict(asked.settings), dict(asked.parameters)
    for name, value in form.items():
        if name == "query":
            text = text + b"\n" + value if text else value
        elif name.startswith("param_"):
            parameters[name.removeprefix("param_")] = value.decode()
        elif name not in _REQUEST_NAMES:
            settings[name] = value.decode()
    return replace(asked, text=text, settings=settings, parameters=parameters)


def read_form(content_type: str, body: bytes) -> dict[str, bytes]:
    """The fields of a multipart form.

    Raises:
        EngineError: BAD_ARGUMENTS for a body that is no form, NOT_IMPLEMENTED for an external table.
    """
    head = b"Content-Type: " + content_type.encode("latin-1") + b"\r\n\r\n"
    message = BytesParser(policy=HTTP).parsebytes(head + body)
    if not message.is_multipart():
        raise EngineError(BAD_ARGUMENTS, "The body is not a multipart form")
    form: dict[str, bytes] = {}
    for part in message.iter_parts():
        name = part.get_param("name", header="content-disposition")
        if part.get_filename() is not None:
            raise EngineError(NOT_IMPLEMENTED, "External tables are not offered by the embedded endpoint")
        payload = part.get_payload(decode=True)
        if not isinstance(name, str) or not isinstance(payload, bytes):
            raise EngineError(BAD_ARGUMENTS, "A field of the multipart form has no name or no content")
        form[name] = payload
    return form


def _flag(named: Mapping[str, str], name: str) -> bool:
    return named.get(name, "").lower() in ("1", "true")


def _response_encoding(named: Mapping[str, str], accepted: str) -> str | None:
    """The encoding to answer in; ClickHouse compresses only if both the header and the parameter ask for it."""
    if not _flag(named, "enable_http_compression"):
        return None
    wanted = {part.split(";")[0].strip().lower() for part in accepted.split(",") if "q=0" not in part.split(";")[1:]}
    return next((encoding for encoding in RESPONSE_ENCODINGS if encoding in wanted), None)


def _session(named: Mapping[str, str], limits: EndpointLimits) -> SessionWish | None:
    session_id = named.get("session_id")
    if not session_id:
        return None
    timeout = named.get("session_timeout", str(limits.session_seconds_default))
    if not (timeout.isascii() and timeout.isdigit()):
        raise EngineError(INVALID_SESSION_TIMEOUT, f"Invalid session timeout: '{timeout[:32]}'")
    if int(timeout) > limits.session_seconds_max:
        raise EngineError(
            INVALID_SESSION_TIMEOUT,
            f"Session timeout '{timeout[:32]}' is larger than max_session_timeout: {limits.session_seconds_max}",
        )
    return SessionWish(session_id, int(timeout), must_exist=_flag(named, "session_check"))
