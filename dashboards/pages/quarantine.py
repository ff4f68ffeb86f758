"""Refused messages: how many of a kind, one with its bytes, corrections tried with the decoder, and the replay."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Annotated, Any, Final
from urllib.parse import parse_qsl
from uuid import uuid4

import orjson
from fastapi import APIRouter, Form, Query
from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import Response

from cdc.mapping import KINDS, Step, decode_mapping, encode_mapping
from clickhouse.keyset import slice_of
from clickhouse.quarantine_queries import (
    LIST_KEYS,
    QuarantineFilter,
    last_replays,
    refusals_by_kind,
    refused_again,
    refused_list,
    refused_message,
    refused_messages,
    replays_of,
)
from dashboards.pages.bytes_view import hex_lines, text_lines
from dashboards.pages.entity import ID_CHARS_MAX, ROWS, address, first_row
from dashboards.pages.mapping_form import BLANK_ROWS, Line, in_words, lines_of, lines_query, read_lines, steps_of
from dashboards.web.board import Board, BoardDep
from dashboards.web.guard import Operator, Viewer, note_action
from dashboards.web.page import render
from dashboards.web.sampler import Figure
from trueup.model.errors import TrueupError
from trueup.quarantine_desk import (
    NOTE_CHARS_MAX,
    REPLAYS_MAX,
    Asked,
    Preview,
    Refused,
    decoders_by_topic,
    preview,
    refused_of,
    replay_of,
    send_replays,
    suggestion,
    summary,
)

router = APIRouter()

PATH: Final = "/quarantine"
FAILURES_SHOWN: Final = 20
_OFFSET_MAX: Final = 2**63 - 1
_PARTITION_MAX: Final = 2**16 - 1
Text = Annotated[str, Query(max_length=ID_CHARS_MAX)]
Partition = Annotated[int, Query(ge=0, le=_PARTITION_MAX)]
Offset = Annotated[int, Query(ge=0, le=_OFFSET_MAX)]


@router.get(PATH)
def show_list(
    request: Request,
    board: BoardDep,
    _account: Viewer,
    topic: Text = "",
    code: Text = "",
    waiting: bool = False,
    after: Text = "",
) -> Response:
    """What was refused, by topic and reason, and the newest messages."""
    chosen = QuarantineFilter(topic, code, waiting)
    query = refused_list(board.database, chosen, ROWS, after)
    page = slice_of(board.cases.rows(query), ROWS, LIST_KEYS)
    places = [(row["topic"], row["kafka_partition"], row["kafka_offset"]) for row in page.rows]
    last = board.cases.rows(last_replays(board.database, places)) if places else []
    (kinds,) = board.sampler.look([Figure(refusals_by_kind(board.database), board.cases.rows_in_background)])
    fields = {"topic": topic, "code": code, "waiting": waiting}
    return render(
        request, "quarantine.html", kinds=kinds, messages=page.rows, query=query, chosen=chosen,
        replayed={(row["topic"], row["kafka_partition"], row["kafka_offset"]): row for row in last},
        can_replay=set(decoders_by_topic(board.settings)), first=address(PATH, **fields) if after else "",
        more=address(PATH, **fields, after=page.next) if page.next else "",
    )  # fmt: skip


@router.get(PATH + "/message")
def show_message(
    request: Request, board: BoardDep, _account: Viewer, topic: Text, partition: Partition, offset: Offset
) -> Response:
    """One refused message, and what the decoder says of it under the corrections in the address."""
    refused, query = _message(board, topic, partition, offset)
    replay_query = replays_of(board.database, topic, partition, offset)
    replays = board.cases.rows(replay_query)
    again_query = refused_again(board.database, topic, [row["replay_id"] for row in replays])
    again = {row["replay_id"]: row for row in board.cases.rows(again_query)} if replays else {}
    decoders = decoders_by_topic(board.settings)
    lines = read_lines(request.query_params.multi_items())
    steps, failure = _steps(lines)
    tried = preview(decoders, refused, steps) if topic in decoders and failure is None else None
    suggested = () if lines or topic not in decoders else suggestion(decoders, refused)
    return render(
        request, "quarantine_message.html", refused=refused, query=query, key_text=text_lines(refused.key),
        value_text=text_lines(refused.value), value_hex=hex_lines(refused.value), tried=tried, failure=failure,
        tried_text=text_lines(tried.value) if tried else "", replays=[_replay_row(row) for row in replays],
        replay_query=replay_query, again=again, is_corrected=bool(lines),
        **_form(lines or lines_of(suggested), is_suggested=bool(suggested)),
    )  # fmt: skip


@router.get(PATH + "/kind")
def show_kind(request: Request, board: BoardDep, _account: Viewer, topic: Text, code: Text) -> Response:
    """All messages of a topic with one reason that were not replayed yet, and what corrections make of them."""
    waiting, query = _waiting(board, topic, code)
    decoders = decoders_by_topic(board.settings)
    lines = read_lines(request.query_params.multi_items())
    steps, failure = _steps(lines)
    can_replay = topic in decoders
    tried = [(one, preview(decoders, one, steps)) for one in waiting] if can_replay and failure is None else []
    suggested = suggestion(decoders, waiting[0]) if waiting and can_replay and not lines else ()
    failed = [(one, seen) for one, seen in tried if not seen.accepted]
    return render(
        request, "quarantine_kind.html", topic=topic, code=code, waiting=waiting, query=query, failure=failure,
        can_replay=can_replay, counts=summary(seen for _, seen in tried), failed=failed[:FAILURES_SHOWN],
        sample=next((seen for _, seen in tried if seen.accepted), None), most=REPLAYS_MAX,
        **_form(lines or lines_of(suggested), is_suggested=bool(suggested)),
    )  # fmt: skip


class ReplayForm(BaseModel):
    """What is replayed, one message or all that wait with a reason, and with which rows of corrections."""

    topic: str = Field(max_length=ID_CHARS_MAX)
    request_id: str = Field(min_length=8, max_length=64)
    steps: str = Field("", max_length=100_000)
    partition: int | None = Field(None, ge=0, le=_PARTITION_MAX)
    offset: int | None = Field(None, ge=0, le=_OFFSET_MAX)
    code: str = Field("", max_length=ID_CHARS_MAX)
    note: str = Field("", max_length=NOTE_CHARS_MAX)


@router.post(PATH + "/replay")
def replay(request: Request, board: BoardDep, account: Operator, form: Annotated[ReplayForm, Form()]) -> Response:
    """Have messages put on their topic again; those that would be refused again stay."""
    mapping = steps_of(read_lines(parse_qsl(form.steps, keep_blank_values=True)))
    topic, code = form.topic, form.code
    if form.partition is None or form.offset is None:
        meant, about = _waiting(board, topic, code)[0], f"{topic}, {code}"
    else:
        meant = [_message(board, topic, form.partition, form.offset)[0]]
        about = str(meant[0].origin)
    note_action(request, "replay", about=about, detail=orjson.dumps(encode_mapping(mapping)).decode())
    decoders = decoders_by_topic(board.settings)
    tried = [(one, preview(decoders, one, mapping)) for one in meant]
    asked = Asked(account.login, time.time_ns() // 1000, form.note.strip(), form.request_id)
    wanted = [replay_of(one, seen, mapping, asked) for one, seen in tried if seen.accepted]
    answers = send_replays(board.settings, board.client, wanted) if wanted else []
    left: list[tuple[Refused, Preview]] = [(one, seen) for one, seen in tried if not seen.accepted]
    return render(
        request,
        "quarantine_replayed.html",
        answers=answers,
        left=left,
        mapping=in_words(mapping),
        topic=topic,
        code=code,
    )


def _message(board: Board, topic: str, partition: int, offset: int) -> tuple[Refused, Any]:
    query = refused_message(board.database, topic, partition, offset)
    return refused_of(first_row(board.cases.rows(query))), query


def _waiting(board: Board, topic: str, code: str) -> tuple[list[Refused], Any]:
    query = refused_messages(board.database, QuarantineFilter(topic, code, only_waiting=True), REPLAYS_MAX)
    return [refused_of(row) for row in board.cases.rows(query)], query


def _steps(lines: Sequence[Line]) -> tuple[tuple[Step, ...], TrueupError | None]:
    """The mapping of the form, or why it is none: the page shows it above the form."""
    try:
        return steps_of(lines), None
    except TrueupError as error:
        return (), error


def _form(lines: Sequence[Line], *, is_suggested: bool) -> dict[str, Any]:
    return {
        "lines": [*lines, *[Line()] * BLANK_ROWS], "kinds": list(KINDS), "steps_query": lines_query(lines),
        "request_id": str(uuid4()), "is_suggested": is_suggested, "note_chars_max": NOTE_CHARS_MAX,
    }  # fmt: skip


def _replay_row(row: dict[str, Any]) -> dict[str, Any]:
    return {**row, "steps": in_words(decode_mapping(orjson.loads(row["mapping"])))}
