"""docs/files.md as it stands: its mapping reads its file, its spec joins the rows with payouts; and `trueup files check`."""

from __future__ import annotations

import re
from pathlib import Path

import orjson
import pytest
from typer.testing import CliRunner

from cdc.files.mapping_file import read_mapping
from reconcile.spec.load import read_spec
from tests.file_desk import DATA, loaded_rows
from trueup.cli.files import files
from trueup.settings import Settings
from trueup.user_specs import read_user_specs

PAGE = Path(__file__).resolve().parents[2] / "docs" / "files.md"
FILE = "wepay_20260723.csv"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def test_the_mapping_of_the_page_reads_its_file(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text(blocks("csv")[0])
    rows = loaded_rows(tmp_path / FILE, read_mapping(blocks("toml")[0], file="wepay.toml"))
    assert [(row["reference"], row["payout_id"], row["amount"]) for row in rows] == [
        ("W-1", 1, "1234.50"), ("W-2", 2, "-80.00"),
    ]  # fmt: skip


def test_the_spec_of_the_page_reads_the_table_of_files_from_its_topic(tmp_path: Path) -> None:
    text = blocks("toml")[1]
    mapping = read_mapping(blocks("toml")[0], file="wepay.toml")
    assert [leg.source_table for group in read_spec(text, file="channel.toml").groups for leg in group.legs] == [
        "payout", mapping.topic,
    ]  # fmt: skip
    (tmp_path / "channel.toml").write_text(text)
    specs = read_user_specs(Settings(specs=["settlement", str(tmp_path / "channel.toml")]))
    assert specs.topics == ("settlement.public.payout", mapping.topic)
    assert (sorted(specs.file_topics), list(specs.more_tables)) == ([mapping.topic], []), (
        "the reader does not look for it"
    )
    assert specs.database_topics == ("settlement.public.payout",), "heartbeats say nothing of files"


@pytest.mark.parametrize(("given", "status"), [([], 0), (["--count", "4"], 1), (["--total", "JPY=5000.00"], 0)])
def test_a_file_is_checked_on_the_command_line(given: list[str], status: int) -> None:
    words = ["check", str(DATA / FILE), "--mapping", str(DATA / "wepay.toml"), "--json", *given]
    answer = CliRunner().invoke(files, words)
    assert answer.exit_code == status
    told = orjson.loads(answer.stdout)
    if status:
        assert (told["outcome"], told["problem_count"]) == ("refused", 1)
    else:
        assert (told["rows"], told["totals"]) == (3, {"EUR": "1154.50", "JPY": "5000"})
