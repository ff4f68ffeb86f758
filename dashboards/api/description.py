"""The API's OpenAPI document, and a page that shows it: made here, so that nothing is loaded from elsewhere."""

from __future__ import annotations

from functools import cache
from typing import Any, Final

import orjson
from fastapi import APIRouter, Request
from fastapi.openapi.utils import get_openapi
from fastapi.responses import HTMLResponse

from dashboards.api import books, discrepancies
from dashboards.api.documents import Document
from dashboards.api.examples import PROBLEMS
from dashboards.web.guard import OpenToAll
from dashboards.web.page import render
from trueup import __version__

INTRODUCTION: Final = (
    "Discrepancies, statements, orders and decisions for programs. Send a token with each request: "
    "`Authorization: Bearer trueup_…`; it is made on the page Account. Amounts are decimal text in major units beside their "
    "currency, times are ISO 8601 in UTC. Lists come in pages: give `next` of a page as `after` of the following one. "
    "Errors are application/problem+json with what, where and remedy."
)

router = APIRouter(prefix="/api")
api_router = APIRouter(responses=PROBLEMS)
api_router.include_router(discrepancies.router)
api_router.include_router(books.router)


@cache
def openapi_document() -> dict[str, Any]:
    """The OpenAPI document of all routes."""
    return get_openapi(title="trueup", version=__version__, description=INTRODUCTION, routes=api_router.routes)


@router.get("/openapi.json", dependencies=[OpenToAll])
def show_document() -> Document:
    """The OpenAPI document."""
    return Document(openapi_document())


@router.get("/docs", dependencies=[OpenToAll])
def show_page(request: Request) -> HTMLResponse:
    """The same for people."""
    return render(request, "api_docs.html", operations=_operations(), introduction=INTRODUCTION)


@cache
def _operations() -> list[dict[str, Any]]:
    """Each operation with its parameters, and its examples as text."""
    return [
        {
            "method": method.upper(),
            "path": path,
            "summary": operation["description"],
            "parameters": [_parameter(each) for each in operation.get("parameters", [])],
            "given": _given(operation),
            "answers": [
                {"status": status, "description": answer["description"], "example": _example(answer)}
                for status, answer in sorted(operation["responses"].items())
            ],
        }
        for path, operations in openapi_document()["paths"].items()
        for method, operation in operations.items()
    ]


def _parameter(parameter: dict[str, Any]) -> dict[str, str]:
    schema: dict[str, Any] = parameter["schema"]
    meaning = parameter.get("description") or schema.get("description", "")
    default = schema.get("default")
    return {
        "name": parameter["name"],
        "place": parameter["in"],
        "meaning": meaning if default in (None, "", []) else f"{meaning} (default: {orjson.dumps(default).decode()})",
    }


def _given(operation: dict[str, Any]) -> str:
    content: dict[str, Any] = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    examples: list[dict[str, Any]] = list(content.get("examples", {}).values())
    return _pretty(examples[0]["value"]) if examples else ""


def _example(answer: dict[str, Any]) -> str:
    contents: list[dict[str, Any]] = list(answer.get("content", {}).values())
    return _pretty(contents[0]["example"]) if contents and "example" in contents[0] else ""


def _pretty(value: Any) -> str:
    return orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()
