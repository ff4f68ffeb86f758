"""Which tables and topics the specs of the settings need, and what does not go together."""

from __future__ import annotations

from pathlib import Path

import pytest

from cdc.source_tables import SourceTable, labels, settlement_tables
from cdc.topics import topic_plan
from streams.batch import Stage
from streams.watermark import Heartbeat, SourceClock
from tests.group_books import LEDGER
from trueup.group_wiring import consumer_group, stages_of_specs
from trueup.model.errors import ConfigurationError
from trueup.settings import Settings
from trueup.user_specs import absolute_specs, read_user_specs

TEXT = LEDGER.format(version=1, tolerance="1 minor", more="")


def written(path: Path, name: str, text: str) -> str:
    (path / name).write_text(text)
    return str(path / name)


def test_without_specs_of_users_there_is_nothing() -> None:
    specs = read_user_specs(Settings(specs=["settlement"]))
    assert (specs.specs, specs.topics, specs.more_tables, stages_of_specs(specs)) == ((), (), (), ())


def test_tables_and_topics_follow_from_the_legs(tmp_path: Path) -> None:
    specs = read_user_specs(Settings(specs=["settlement", written(tmp_path, "a.toml", TEXT)]))
    entry, line = specs.more_tables
    assert entry[:4] == ("public", "ledger_entry", ("entity", "entry_no"), ("entity", "entry_no"))
    assert line.label == "bank.bank_line"
    assert specs.topics == ("settlement.public.ledger_entry", "settlement.bank.bank_line")
    assert stages_of_specs(specs) == (Stage("legs", specs.topics), Stage("groups", ("trueup.legs",)))
    planned = {topic.name for topic in topic_plan(["settlement"], "public", 4, leg_topics=specs.topics).topics}
    assert planned > {*specs.topics, "trueup.legs", "settlement.public.orders"}


def test_two_specs_share_a_table_and_need_all_columns(tmp_path: Path) -> None:
    other = TEXT.replace('"ledger"', '"other"').replace(' = "id", ', ' = "id", value_date = "date", ')
    paths = [written(tmp_path, "a.toml", TEXT), written(tmp_path, "b.toml", other)]
    _entry, line = read_user_specs(Settings(specs=paths)).more_tables
    assert set(line.columns) == {"currency", "line_id", "iban", "reference", "amount", "value_date"}


def test_a_table_of_the_settlement_is_not_read_twice(tmp_path: Path) -> None:
    text = TEXT.replace('"bank.bank_line"', '"payout"').replace("line_id", "payout_id")
    specs = read_user_specs(Settings(specs=[written(tmp_path, "a.toml", text)]))
    assert labels(specs.more_tables) == ("public.ledger_entry",)
    assert specs.topic_of["payout"] == "settlement.public.payout"


def test_other_definitions_are_read_by_another_consumer_group(tmp_path: Path) -> None:
    names = set()
    for number, text in enumerate((TEXT, TEXT.replace("version = 1", "version = 2"), TEXT.replace("iban", "account"))):
        settings = Settings(specs=[written(tmp_path, f"{number}.toml", text)])
        names.add(consumer_group(settings, read_user_specs(settings)))
    assert len(names) == 3
    assert all(name.startswith("trueup-specs-") for name in names)


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ('name = "ledger"', 'name = "ledger"', "two specs are called ledger"),
        ('"bank.bank_line"', '"elsewhere.bank.bank_line"', "of another source than settlement"),
        (
            'primary_key = "line_id"',
            'primary_key = ["line_id", "iban"]',
            "has the primary key line_id, iban in leg line",
        ),
    ],
)
def test_what_does_not_go_together_is_told(tmp_path: Path, old: str, new: str, what: str) -> None:
    other = TEXT.replace(old, new)
    if "two specs" not in what:
        other = other.replace('"ledger"', '"other"')
    paths = [written(tmp_path, "a.toml", TEXT), written(tmp_path, "b.toml", other)]
    with pytest.raises(ConfigurationError, match=what):
        read_user_specs(Settings(specs=paths))


def test_files_are_found_from_any_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert absolute_specs(["settlement", "mine.toml"]) == ["settlement", str(tmp_path / "mine.toml")]


def test_the_tables_of_the_settlement_have_one_key_column_each() -> None:
    tables = settlement_tables("books")
    assert SourceTable("books", "payout", ("payout_id",), ("statement_id",), *tables[4][4:]) == tables[4]
    assert tables[0].topic("site-b") == "site-b.books.orders"


def test_a_heartbeat_from_before_a_table_was_read_tells_no_time() -> None:
    clock = SourceClock(["settlement"], ["a", "b"])
    clock.add(Heartbeat("settlement", 10, {"a": [1]}))
    assert clock.watermark_us(0, ("a", "b"), {"a": 1}) == 0
    clock.add(Heartbeat("settlement", 20, {"a": [1], "b": [0]}))
    assert clock.watermark_us(0, ("a", "b"), {"a": 1}) == 20
