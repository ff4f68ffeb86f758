"""`trueup check` on a whole stack: nothing to say while it is healthy, and everything at once when it is not."""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # documented, and not exported by name
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)
from typer.testing import CliRunner

from tests.e2e.rig import Rig, new_seed, running_rig
from tests.rule_versions import edited
from trueup.checking.parts import Part, check_installation
from trueup.cli import app
from trueup.demo.run import GRACE_SECONDS
from trueup.embedded.ports import free_port
from trueup.model.faults import Fault
from trueup.upstream.plan import WorkloadPlan
from trueup.upstream.workload import run

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(800)]

HEALTHY_SECONDS = 180.0
ORDERS = 1_000


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    with running_rig(tmp_path / "data", workers=1) as running:
        yield running


def faults_by_part(data_dir: Path) -> dict[str, list[Fault]]:
    return {part.name: part.faults for part in check_installation(data_dir)}


def healthy(data_dir: Path) -> list[Part]:
    """The parts, once the reader holds its slot."""
    deadline = time.monotonic() + HEALTHY_SECONDS
    while True:
        parts = check_installation(data_dir)
        if not any(part.faults for part in parts) or time.monotonic() > deadline:
            return parts
        time.sleep(0.5)


def test_a_healthy_stack_has_nothing_wrong_and_a_broken_one_is_told_whole(
    rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = healthy(rig.stack.data_dir)
    assert not [fault for part in parts for fault in part.faults]
    assert [part.name for part in parts if part.skipped] == []
    facts = "\n".join(fact for part in parts for fact in part.facts)
    assert "9 tables" in facts
    assert "the user analyst may only read" in facts
    result = CliRunner().invoke(app, ["check", "--data-dir", str(rig.stack.data_dir), "--json"])
    assert result.exit_code == 0
    assert orjson.loads(result.stdout)["is_in_order"] is True
    for secret in (rig.stack.postgres.password(), rig.settings.clickhouse.password.get_secret_value()):
        assert secret not in result.stdout
    what_another_spec_would_change_is_told(rig, tmp_path)
    services_that_are_away_or_refuse_are_one_fault_each(rig, tmp_path, monkeypatch)
    everything_that_is_broken_is_named_in_one_run(rig)


def everything_that_is_broken_is_named_in_one_run(rig: Rig) -> None:
    with contextlib.ExitStack() as undo:
        break_source(rig, undo)
        break_topics(rig)
        break_clickhouse(rig)
        result = CliRunner().invoke(
            app, ["check", "--data-dir", str(rig.stack.data_dir)], env={"COLUMNS": "300"}, catch_exceptions=False
        )
    assert result.exit_code == 1
    for fault in (
        "there is no column channel_ref",
        "column kind allows NULL",
        "column item_count has the type text, which cannot be read as int",
        "it does not have REPLICA IDENTITY FULL",
        "it lacks table public.funding",
        "topic trueup.legs does not exist",
        "its retention.ms is 3600000, not -1",
        "its cleanup.policy is compact, not delete",
        "table release_wide does not exist",
        "there is no column reason String",
        "there is a column more that this version of trueup does not know",
        "migration 0002_derived.sql is not applied",
    ):
        assert f"error: {fault}" in result.stdout
    assert 'to do: ALTER TABLE "public"."orders" REPLICA IDENTITY FULL' in result.stdout
    assert "✓ settings" in result.stdout
    assert "✓ specs" in result.stdout


def what_another_spec_would_change_is_told(rig: Rig, directory: Path) -> None:
    plan = WorkloadPlan(
        orders=ORDERS, seed=new_seed(), faults=True, grace_seconds=GRACE_SECONDS, rate_per_second=1_500.0
    )
    run(rig.stack.postgres.dsn(), plan)
    rig.settle()
    stand = Counter(
        row["rule"]
        for row in rig.reader.open_discrepancies()
        if row["rule"] not in {"funding-short", "release-mismatch"}
    )
    assert stand["missing-billing"] > 0
    spec = directory / "settlement.toml"
    spec.write_text(edited(2, without=("missing-billing",)), encoding="utf-8")
    for name, outcome in (("settlement", "stays"), (str(spec), "resolves")):
        result = CliRunner().invoke(
            app,
            ["check", "--impact", "--spec", name, "--data-dir", str(rig.stack.data_dir), "--json"],
            catch_exceptions=False,
        )
        assert result.exit_code == 0
        (told,) = orjson.loads(result.stdout)["specs"]
        assert (told["pending"], told["states"] > ORDERS) == (0, True)
        found = {(one["rule"], one["outcome"]): one["count"] for one in told["changes"]}
        assert found == {
            (rule, outcome if rule == "missing-billing" else "stays"): count for rule, count in stand.items()
        }


def break_clickhouse(rig: Rig) -> None:
    rig.query("DROP TABLE {db}.release_wide SYNC")
    rig.query("ALTER TABLE {db}.quarantine DROP COLUMN reason")
    rig.query("ALTER TABLE {db}.watermark ADD COLUMN more UInt8")
    rig.query("ALTER TABLE {db}.schema_migration DELETE WHERE number = 2 SETTINGS mutations_sync = 1")


def break_source(rig: Rig, undo: contextlib.ExitStack) -> None:
    connection = undo.enter_context(rig.source())
    with connection, connection.cursor() as cursor:
        cursor.execute("ALTER TABLE payout DROP COLUMN channel_ref")
        cursor.execute("ALTER TABLE billing_item ALTER kind DROP NOT NULL")
        cursor.execute("ALTER TABLE statement ALTER item_count TYPE text")
        cursor.execute("ALTER TABLE orders REPLICA IDENTITY DEFAULT")
        cursor.execute("ALTER PUBLICATION trueup DROP TABLE funding")


def break_topics(rig: Rig) -> None:
    admin = AdminClient({"bootstrap.servers": rig.settings.kafka.bootstrap})
    admin.delete_topics(["trueup.legs"])["trueup.legs"].result()
    changes = {
        "trueup.case-commands": ("retention.ms", "3600000"),
        "settlement.public.orders": ("cleanup.policy", "compact"),
    }
    resources = [
        ConfigResource(
            ResourceType.TOPIC,
            topic,
            incremental_configs=[ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)],
        )
        for topic, (name, value) in changes.items()
    ]
    for answer in admin.incremental_alter_configs(resources).values():
        answer.result()


def services_that_are_away_or_refuse_are_one_fault_each(
    rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = rig.settings
    for name, value in {
        "SOURCE__PORT": settings.source.port,
        "SOURCE__USER": settings.source.user,
        "SOURCE__PASSWORD": "not-this-one",
        "KAFKA__BOOTSTRAP": f"127.0.0.1:{free_port()}",
        "CLICKHOUSE__PORT": settings.clickhouse.port,
        "CLICKHOUSE__PASSWORD": "not-this-one",
    }.items():
        monkeypatch.setenv(f"TRUEUP_{name}", str(value))
    faults = faults_by_part(tmp_path)
    assert faults["settings"] == faults["specs"] == []
    (source,), (topics,), (clickhouse,) = faults["source"], faults["topics"], faults["ClickHouse"]
    assert "password authentication failed" in source.what
    assert "does not answer" in topics.what
    assert "Authentication failed" in clickhouse.what
    assert all(fault.where and fault.remedy for fault in (source, topics, clickhouse))
    assert "not-this-one" not in repr(faults)
