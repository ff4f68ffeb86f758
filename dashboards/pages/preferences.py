"""The switches of language and colours: kept in the browser, so that they work before the sign-in too."""

from __future__ import annotations

from typing import Final, Literal

from fastapi import APIRouter
from fastapi.responses import RedirectResponse
from starlette.requests import Request

from dashboards.web.errors import local_address
from dashboards.web.guard import OpenToAll
from dashboards.web.language import LANGUAGE_COOKIE, Language
from dashboards.web.page import THEME_COOKIE

router = APIRouter()

KEPT_SECONDS: Final = 365 * 86_400


@router.get("/preferences", dependencies=[OpenToAll])
async def keep_preferences(
    request: Request,
    language: Language | None = None,
    theme: Literal["system", "light", "dark"] | None = None,
    back: str = "/",
) -> RedirectResponse:
    """Keep what was chosen, and go back to where the reader was."""
    answer = RedirectResponse(local_address(back.removesuffix("?")), 303)
    for name, value in ((LANGUAGE_COOKIE, language), (THEME_COOKIE, theme)):
        if value is not None:
            answer.set_cookie(
                name, value, max_age=KEPT_SECONDS, httponly=True, samesite="lax", secure=request.url.scheme == "https"
            )
    return answer
