"""The pages of entities, quarantine and health say everything in Chinese as well."""

from __future__ import annotations

import re
from pathlib import Path
from string import Formatter

import pytest
from jinja2.ext import babel_extract

from cdc.mapping import KINDS
from clickhouse.payout_queries import STATUSES as PAYOUT_STATUSES
from clickhouse.statement_queries import STATUSES as STATEMENT_STATUSES
from dashboards.pages import health
from dashboards.pages.sellers import CYCLES
from dashboards.pipeline import Light, Pipeline, Process, TopicLag, lights, nothing_known
from dashboards.web.language import read_catalogue, term
from trueup.model.reason_codes import REASON_CODES

TEMPLATES = Path("dashboards/templates")
PAGES = (
    "order", "orders", "_order_steps", "entity_macros", "statement", "statements", "_statement_totals", "_statement_growth",
    "payout", "payouts", "_payout_rows", "_releases", "channel", "release", "seller", "sellers", "_seller_history", "quarantine",
    "mapping_macros", "quarantine_message", "quarantine_kind", "quarantine_replayed", "health", "_health",
)  # fmt: skip
CHINESE = {
    message.id: str(message.string)
    for message in read_catalogue("zh")
    if type(message.id) is str and message.id and not message.context
}


def texts_of(page: str) -> set[str]:
    with (TEMPLATES / f"{page}.html").open("rb") as file:
        found = babel_extract(file, ("_",), [], {"trim_blocks": "true", "lstrip_blocks": "true"})
        return {str(text if isinstance(text, str) else (text or [""])[0]) for _, _, text, _ in found}


def lights_of_every_kind() -> list[Light]:
    metrics: dict[str, dict[tuple[str, ...], float]] = {
        "trueup_reader_lag_seconds": {(): 60.0},
        "trueup_reader_quarantined_total": {(): 1.0},
    }
    broken = [Process("worker-1", state, None, 0, 0, False, "") for state in ("failed", "backoff")]
    broken += [Process("cdc", "ready", 1, 0, 0, False, "", answers=False, metrics=metrics)]
    well = [Process("cdc", "ready", 1, 0, 0, False, "")]
    lag = [TopicLag("g", "t", 10**6, 10**6, 0, 1)]
    late = [{"stage": "orders", "source": "s", "lag_ms": 10**9}]
    return [
        *lights(Pipeline(broken, lags=lag), late, 3),
        *lights(Pipeline(well), late, 0),
        *lights(nothing_known(), [], None),
        health.clickhouse_away("gone"),
    ]


@pytest.mark.parametrize("page", PAGES)
def test_every_text_of_a_page_is_translated_with_the_same_values(page: str) -> None:
    texts = texts_of(page)
    assert texts <= CHINESE.keys(), texts - CHINESE.keys()
    for text in texts:
        assert set(re.findall(r"%\(\w+\)s", text)) == set(re.findall(r"%\(\w+\)s", CHINESE[text]))


def test_every_light_is_translated_with_the_same_values() -> None:
    found = lights_of_every_kind()
    for text in {text for light in found for text in (light.text, light.remedy) if text}:
        names = {name for _, name, _, _ in Formatter().parse(text) if name}
        assert {name for _, name, _, _ in Formatter().parse(CHINESE[text]) if name} == names
    assert {"bad", "warning", "good", "unknown"} == {light.level for light in found}


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("refusal", REASON_CODES),
        ("step", tuple(KINDS)),
        (
            "status",
            (*STATEMENT_STATUSES, *PAYOUT_STATUSES, "funded", "released", "created", "completed", "statemented"),
        ),
        ("cycle", CYCLES),
        ("verdict", ("matched", "pending", "discrepant")),
        ("light", ("good", "warning", "bad", "unknown")),
        ("process", ("stopped", "starting", "ready", "backoff", "stopping", "failed")),
        ("part", tuple({light.part for light in lights_of_every_kind()})),
        ("kind", ("sale", "refund", "adjustment", "rebate", "fee")),
    ],
)
def test_every_word_of_the_domain_is_translated(kind: str, values: tuple[str, ...]) -> None:
    missing = [
        value
        for value in values
        if value not in {"kafka", "clickhouse"} and term("zh", kind, value) == value.replace("-", " ")
    ]
    assert missing == []
