"""Several sources in the settings: their topics, who reads which, and what must differ between them."""

from __future__ import annotations

import pytest
from pydantic import SecretStr, ValidationError

from cdc.source_tables import settlement_topics
from streams.messages import TopicNames
from trueup.model.errors import ConfigurationError
from trueup.model.tables import ORDERS, TABLES
from trueup.reader import of_source
from trueup.settings import Settings, SourceSettings
from trueup.stack_files import environment, for_dashboard
from trueup.user_specs import planned_topics, read_user_specs
from trueup.wiring import stages_of_sources

SITE = SourceSettings(name="site-b", host="10.0.0.2", password=SecretStr("secret-b"))
BOTH = Settings(more_sources=[SITE])


def test_every_source_has_topics_of_its_own() -> None:
    topics = settlement_topics(BOTH.sources)
    assert topics["settlement.public.orders"] == (BOTH.source, ORDERS)
    assert topics["site-b.public.orders"] == (SITE, ORDERS)
    assert len(topics) == 2 * len(TABLES)
    planned = {spec.name for spec in planned_topics(BOTH, read_user_specs(BOTH)).topics}
    assert set(topics) <= planned


def test_a_stage_reads_the_tables_of_all_sources() -> None:
    alone = {stage.name: stage.topics for stage in stages_of_sources(Settings().sources)}
    both = {stage.name: stage.topics for stage in stages_of_sources(BOTH.sources)}
    assert both.keys() == alone.keys()
    for name, topics in alone.items():
        twins = {topic.replace("settlement.", "site-b.", 1) for topic in topics}
        assert set(both[name]) == {*topics, *twins}
    assert len(both["orders"]) == 6
    # What the stages tell each other is there once.
    assert both["cases"] == alone["cases"]


def test_a_reader_reads_the_source_that_it_is_asked_for() -> None:
    assert of_source(BOTH, None).source is BOTH.source
    assert of_source(BOTH, "site-b").source is SITE
    with pytest.raises(ConfigurationError, match="no source site-c") as refused:
        of_source(BOTH, "site-c")
    assert "settlement, site-b" in refused.value.remedy


def test_processes_are_told_all_sources_and_the_dashboard_no_password() -> None:
    told = environment(BOTH)
    assert "secret-b" in told["TRUEUP_MORE_SOURCES"]
    assert "secret-b" not in environment(for_dashboard(BOTH, "x"))["TRUEUP_MORE_SOURCES"]


def test_sources_may_have_schemas_of_their_own() -> None:
    settings = Settings(more_sources=[SourceSettings(kind="mysql", name="shop", database="shop_db")])
    assert settings.schema_of("shop") == "shop_db"
    assert settings.schema_of("gone") == "public"
    planned = {spec.name for spec in planned_topics(settings, read_user_specs(settings)).topics}
    assert {"shop.shop_db.orders", "settlement.public.orders"} <= planned
    names = TopicNames("public", {"shop": "shop_db"})
    assert names.of("shop", "orders") == "shop.shop_db.orders"
    assert names.of("settlement", "orders") == "settlement.public.orders"


def test_settings_come_back_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in environment(BOTH).items():
        monkeypatch.setenv(name, value)
    assert Settings().more_sources == [SITE]


@pytest.mark.parametrize(
    ("further", "what"),
    [
        (SourceSettings(host="10.0.0.2"), "two sources have the name settlement"),
        (SourceSettings(name="b", database="b"), "two sources have the slot trueup"),
    ],
)
def test_sources_that_would_be_one_are_refused(further: SourceSettings, what: str) -> None:
    with pytest.raises(ValidationError, match=what):
        Settings(more_sources=[further])


def test_polled_databases_of_one_server_need_no_slots() -> None:
    polled = SourceSettings(name="b", database="b", reader="poll")
    assert Settings(more_sources=[polled]).sources[1] == polled
