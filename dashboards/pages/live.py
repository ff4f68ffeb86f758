"""`/live`: what happens, as server-sent events, for as long as a page is looked at."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from decimal import Decimal
from functools import partial
from typing import Annotated, Any, Final

import anyio
import orjson
from fastapi import APIRouter, HTTPException, Query
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.requests import Request
from starlette.responses import Response

from dashboards.web.board import BoardDep
from dashboards.web.guard import Viewer
from dashboards.web.language import Language
from dashboards.web.live import LiveEvent, LiveHub, Subscription
from dashboards.web.page import has_template, language_of, render_text
from trueup.case_story import difference_minor
from trueup.model.money import to_decimal

router = APIRouter()

BEAT_SECONDS: Final = 10.0
"""A page that hears nothing for longer than two of these takes the connection for lost."""

LASTS_SECONDS: Final = 300.0
"""Then the page connects again, and its session is looked at again."""

LOOK_SECONDS: Final = 0.5
"""How often a quiet stream looks whether the process is to end."""

GRACE_SECONDS: Final = 1.0

_AMOUNTS: Final = ("expected", "actual", "delta")


@router.get("/live/allowed")
async def live_allowed(account: Viewer) -> Response:
    """Whether the session still holds: an event source cannot tell why it was refused."""
    del account
    return Response(status_code=204)


@router.get("/live")
async def live(
    request: Request,
    board: BoardDep,
    account: Viewer,
    row: Annotated[str, Query(pattern="^[a-z_]{0,40}$")] = "",
) -> EventSourceResponse:
    """Events `discrepancy` (the finding's message as JSON), `pulse`, `reload`, `beat` and `again` (connect anew).

    With `row=latest` a discrepancy also has `row`: the finding rendered by `_live_latest.html`, which is given `finding`,
    the message with its amounts as Decimal.
    """
    del account
    language = language_of(request)
    template = f"_live_{row}.html" if row else ""
    if template and not has_template(language, template):
        raise HTTPException(404)
    subscription = board.live.subscribe()
    if subscription is None:
        raise HTTPException(503, "Too many pages listen at once.")
    ending = anyio.Event()
    return EventSourceResponse(
        _events(board.live, subscription, ending, partial(_data, language=language, template=template)),
        shutdown_event=ending,
        shutdown_grace_period=GRACE_SECONDS,
    )


async def _events(
    hub: LiveHub, subscription: Subscription, ending: anyio.Event, data: Callable[[LiveEvent], str]
) -> AsyncIterator[ServerSentEvent]:
    clock = asyncio.get_running_loop().time
    try:
        yield ServerSentEvent(event="beat", data="")
        sent_at = clock()
        until = sent_at + LASTS_SECONDS
        while clock() < until and not ending.is_set():
            taken = await subscription.take(LOOK_SECONDS)
            if taken is None:
                return
            for event in taken:
                yield ServerSentEvent(event=event.kind, data=data(event))
            if taken:
                sent_at = clock()
            elif clock() - sent_at >= BEAT_SECONDS:
                yield ServerSentEvent(event="beat", data="")
                sent_at = clock()
        yield ServerSentEvent(event="again", data="")
    finally:
        hub.leave(subscription)


def _data(event: LiveEvent, *, language: Language, template: str) -> str:
    if event.finding is None:
        return ""
    told = dict(event.finding)
    if template:
        told["row"] = render_text(language, template, finding=with_amounts(event.finding))
    return orjson.dumps(told).decode()


def with_amounts(finding: Mapping[str, Any]) -> dict[str, Any]:
    """A finding's message with its amounts, and their `difference`, as Decimal in major units, as macros take them."""
    minor = difference_minor({name: finding.get(name) for name in ("expected", "actual", "currency")})
    amounts = {name: None if finding.get(name) is None else Decimal(finding[name]) for name in _AMOUNTS}
    difference = None if minor is None else to_decimal(minor, finding["currency"])
    return {**finding, **amounts, "difference": difference}
