"""Overview, list, case page, decisions and exports against generated books on the real endpoint."""

from __future__ import annotations

import csv
import io
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from html import unescape
from typing import Any

import pyarrow.parquet
import pytest
from clickhouse_connect.driver.client import Client
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from benchmarks.board_data import Size, fill
from clickhouse.case_reader import UNSETTLED, CaseFilter, CaseReader
from clickhouse.client import connect
from dashboards.access.account import Role
from reconcile.cases.commands import Command
from tests.access_stand import Browser, Stand, settings_with
from tests.integration.endpoint_process import PASSWORD, ClickHouseServer
from trueup.case_choice import NAMES, STANDINGS
from trueup.case_commands import Outcome
from trueup.settings import ClickHouseSettings

pytestmark = pytest.mark.integration
CASES = 300
WAIT_SECONDS = 120


class Workers:
    """Answers commands as workers do, and keeps them."""

    def __init__(self) -> None:
        self.commands: list[Command] = []
        self.refuses: set[str] = set()

    def send(self, commands: list[Command]) -> list[Outcome]:
        self.commands += commands
        return [
            Outcome(each.command_id, each.discrepancy_id, "refused", "bob was faster", 2)
            if each.discrepancy_id in self.refuses
            else Outcome(each.command_id, each.discrepancy_id, "applied", "", 1)
            for each in commands
        ]


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClickHouseSettings]:
    server = ClickHouseServer(tmp_path_factory.mktemp("clickhouse"))
    server.start()
    found = ClickHouseSettings(port=server.port, user="trueup", password=SecretStr(PASSWORD))
    client = connect(found)
    fill(client, found.database, Size(cases=CASES, orders=CASES * 4, sellers=20))
    client.close()
    yield found
    server.stop()


@pytest.fixture(scope="module")
def client(endpoint: ClickHouseSettings) -> Iterator[Client]:
    client = connect(endpoint)
    yield client
    client.close()


@pytest.fixture(scope="module")
def reader(client: Client, endpoint: ClickHouseSettings) -> CaseReader:
    return CaseReader(client, endpoint.database)


@pytest.fixture(scope="module")
def workers() -> Workers:
    return Workers()


@pytest.fixture(scope="module")
def stand(
    endpoint: ClickHouseSettings, client: Client, reader: CaseReader, workers: Workers,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Stand]:  # fmt: skip
    folder = tmp_path_factory.mktemp("dashboard")
    parts = {
        "settings": settings_with(folder).model_copy(update={"clickhouse": endpoint}),
        "client": client,
        "cases": reader,
        "send": workers.send,
    }
    stand = Stand(folder, parts=parts)
    yield stand
    stand.board.jobs.close()
    stand.board.sampler.close()
    stand.close()


@pytest.fixture(scope="module")
def operator(stand: Stand) -> Browser:
    return stand.signed_in("olga", Role.OPERATOR)


@pytest.fixture(scope="module")
def viewer(stand: Stand) -> Browser:
    return stand.signed_in("vera", Role.VIEWER)


def text_of(browser: Browser, path: str) -> str:
    answer = browser.get(path)
    assert answer.status_code == 200, answer.text
    return str(answer.text)


def until(look: Callable[[], str], absent: str) -> str:
    """What `look` gives once the text is no longer in it."""
    deadline = time.monotonic() + WAIT_SECONDS
    while absent in (found := look()):
        assert time.monotonic() < deadline, found
        time.sleep(0.1)
    return found


def ids_in(text: str) -> list[str]:
    return re.findall(r'<tr id="case-([0-9a-f]{32})"', text)


def fields_of(text: str) -> dict[str, list[str]]:
    """Names and values of the hidden fields of the last form."""
    form = text[text.rindex('<form method="post"') :]
    found: dict[str, list[str]] = {}
    for name, value in re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', form):
        found.setdefault(name, []).append(unescape(value))
    return found


def boxes_in(text: str) -> list[str]:
    return [unescape(value) for value in re.findall(r'name="case" value="([^"]*)"', text)]


def test_the_overview_tells_what_the_queries_behind_it_give(viewer: Browser, client: Client) -> None:
    text_of(viewer, "/")
    text = until(lambda: text_of(viewer, "/"), "Being counted")
    shown = re.search(
        r"<h2>Discrepancies to do</h2>\s*<p class=\"figure\"><a[^>]*><span class=\"count\">([\d,]+)", text
    )
    assert shown is not None
    (open_cases,) = client.query("SELECT count() FROM trueup.v_cases WHERE standing IN " + str(UNSETTLED)).result_rows[
        0
    ]
    assert int(shown[1].replace(",", "")) == open_cases
    queries = {unescape(code) for code in re.findall(r"<pre[^>]*><code>(.*?)</code>", text, re.DOTALL)}
    assert len(queries) >= 8
    with_rows = [query for query in queries if client.query(query).row_count]
    # Nothing was written or found in the last minutes; all others have rows.
    assert len(with_rows) >= len(queries) - 2


def test_every_page_of_the_list_is_reached_and_left(viewer: Browser, reader: CaseReader) -> None:
    path, text, found = "/discrepancies?standing=all&sort=amount", "", []
    while path:
        text = text_of(viewer, path)
        found.append(ids_in(text))
        following = re.search(r'rel="next" href="([^"]+)"', text)
        path = unescape(following[1]) if following else ""
    expected = [row["discrepancy_id"] for row in reader.page(CaseFilter(), CASES + 1, sort="amount").rows]
    assert [each for page in found for each in page] == expected
    back = re.search(r'rel="prev" href="([^"]+)"', text)
    assert back is not None
    assert ids_in(text_of(viewer, unescape(back[1]))) == found[-2]


def test_a_filter_and_its_form(viewer: Browser, reader: CaseReader) -> None:
    answer = viewer.get("/discrepancies?rule=stuck&seller=&standing=&min_amount=&sort=opened")
    assert (answer.status_code, answer.headers["location"]) == (303, "/discrepancies?rule=stuck")
    expected = reader.page(CaseFilter(rules=("stuck",), standings=UNSETTLED), CASES).rows
    assert ids_in(text_of(viewer, "/discrepancies?rule=stuck")) == [row["discrepancy_id"] for row in expected]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    pairs=st.lists(
        st.tuples(
            st.sampled_from([*NAMES, "sort", "after", "before", "x"]),
            st.text(max_size=40) | st.sampled_from([*STANDINGS, "all", "amount", "opened~1~" + "ab" * 16, "2d", "EUR"]),
        ),
        max_size=4,
    ),
    path=st.sampled_from(
        ["/discrepancies", "/discrepancies/rows", "/discrepancies/tabs", "/discrepancies/x", "/rules/x"]
    ),
)
def test_no_address_breaks_a_page(viewer: Browser, pairs: list[tuple[str, str]], path: str) -> None:
    encodable = [(name, text.encode("utf-8", "replace").decode()) for name, text in pairs]
    assert viewer.get(path, params=encodable).status_code in {200, 303, 400, 404}


def test_a_viewer_has_no_buttons_and_is_refused(viewer: Browser, operator: Browser, workers: Workers) -> None:
    text = text_of(viewer, "/discrepancies")
    assert boxes_in(text) == []
    assert 'value="waive"' not in text
    chosen = boxes_in(text_of(operator, "/discrepancies"))[:1]
    before = len(workers.commands)
    assert viewer.submit("/discrepancies/decide", kind="acknowledge", case=chosen).status_code == 403
    assert operator.submit("/discrepancies/decide", kind="approve", case=chosen).status_code == 403
    sent = operator.post(
        "/discrepancies/decide", data={"kind": "acknowledge", "case": chosen}, headers={"Origin": operator.origin}
    )
    assert sent.status_code == 403
    assert len(workers.commands) == before


def test_rows_are_acknowledged_as_they_were_seen(operator: Browser, workers: Workers, reader: CaseReader) -> None:
    chosen = boxes_in(text_of(operator, "/discrepancies?standing=open"))[:3]
    ids = [text.split("~")[0] for text in chosen]
    workers.refuses = {ids[1]}
    answer = operator.submit("/discrepancies/decide", kind="acknowledge", case=chosen)
    assert answer.status_code == 303
    text = until(lambda: text_of(operator, answer.headers["location"]), "<progress")
    assert "bob was faster" in text
    assert text.index(ids[1][:8]) < text.index(ids[0][:8])
    cases = {row["discrepancy_id"]: row for row in reader.beginning_with(ids)}
    for command in workers.commands[-3:]:
        case = cases[command.discrepancy_id]
        assert (command.actor, command.expected_revision, command.seen.occurrence, command.seen.currency) == (
            "olga", case["revision"], case["occurrences"], case["currency"],
        )  # fmt: skip


def test_all_that_match_are_confirmed_and_sent_once(operator: Browser, workers: Workers, reader: CaseReader) -> None:
    asked = operator.submit("/discrepancies/decide", kind="waive", all="1", query="rule=stuck")
    assert asked.status_code == 200
    standings = ("open", "regressed", "acknowledged", "assigned", "snoozed")
    meant = reader.page(CaseFilter(rules=("stuck",), standings=standings), CASES).rows
    assert f"{len(meant)} discrepancies are meant" in asked.text
    fields: dict[str, Any] = {**fields_of(asked.text), "note": "agreed"}
    del fields["csrf"]
    changed = operator.submit("/discrepancies/decide/go", **fields | {"fingerprint": "0" * 64})
    assert "The list has changed" in changed.text
    sent = []
    for _ in range(2):
        before = len(workers.commands)
        answer = operator.submit("/discrepancies/decide/go", **fields)
        until(lambda path=answer.headers["location"]: text_of(operator, path), "<progress")  # type: ignore[misc]
        sent.append({command.command_id for command in workers.commands[before:]})
    assert len(sent[0]) == len(meant)
    assert sent[0] == sent[1]


def test_what_is_missing_in_a_decision_is_told(operator: Browser) -> None:
    chosen = boxes_in(text_of(operator, "/discrepancies"))[:1]
    for kind, fields in (("waive", {}), ("assign", {}), ("snooze", {}), ("snooze", {"until": "soon"}), ("fly", {})):
        form = {"go_id": "8b9f3c1e-0a4c-4d0e-9a57-2f6d6a1d9b11", "case": chosen, "kind": kind, **fields}
        assert operator.submit("/discrepancies/decide/go", **form).status_code == 400
    assert operator.submit("/discrepancies/decide", kind="waive").status_code == 400


def test_a_case_and_its_parts(operator: Browser, viewer: Browser, reader: CaseReader, workers: Workers) -> None:
    case = reader.page(CaseFilter(standings=("open",)), 1).rows[0]
    path = f"/discrepancies/{case['discrepancy_id']}"
    text = text_of(operator, path)
    assert case["detail"] in unescape(text)
    assert "Where it stands" in text
    for part in ("log", "neighbours", "reproduced/0"):
        text_of(operator, f"{path}/{part}")
    assert "/decide" not in text_of(viewer, path)
    assert viewer.get(f"{path}/reproduced/9").status_code == 404
    assert viewer.get("/discrepancies/" + "0" * 32).status_code == 404
    form = {"kind": "comment", "note": "<b>seen</b>", "case": boxes_of_case(text), "go_id": fields_of(text)["go_id"]}
    answer = operator.submit(f"{path}/decide", **form)
    assert answer.status_code == 303
    assert workers.commands[-1].note == "<b>seen</b>"
    assert "applied" in text_of(operator, answer.headers["location"])
    other = operator.submit(f"/discrepancies/{'0' * 32}/decide", **form)
    assert other.status_code == 400


def boxes_of_case(text: str) -> str:
    return unescape(re.findall(r'name="case" value="([^"]*)"', text)[0])


def test_a_rule_has_its_page(viewer: Browser) -> None:
    assert "missing-billing" in text_of(viewer, "/rules/missing-billing")
    assert viewer.get("/rules/..%2F..%2FREADME").status_code == 404


def test_filters_are_kept_for_their_owner(viewer: Browser, operator: Browser) -> None:
    kept = viewer.submit("/discrepancies/filters", name=" big <ones> ", query="rule=stuck&min_amount=100&after=x")
    assert kept.headers["location"] == "/discrepancies?rule=stuck&min_amount=100"
    text = text_of(viewer, "/discrepancies")
    assert "big &lt;ones&gt;" in text
    assert "rule=stuck&amp;min_amount=100" in text
    assert "big &lt;ones&gt;" not in text_of(operator, "/discrepancies")
    assert viewer.submit("/discrepancies/filters", name=" ", query="").status_code == 400
    viewer.submit("/discrepancies/filters/remove", name="big <ones>")
    assert "big &lt;ones&gt;" not in text_of(viewer, "/discrepancies")


def test_an_export_is_its_owners_and_holds_the_list(viewer: Browser, operator: Browser, reader: CaseReader) -> None:
    rows = reader.page(CaseFilter(), CASES + 1, sort="amount").rows
    for kind in ("csv", "xlsx", "parquet"):
        begun = viewer.submit("/discrepancies/exports", format=kind, query="standing=all&sort=amount")
        path = begun.headers["location"]
        assert operator.get(path).status_code == 404
        text = until(lambda path=path: text_of(viewer, path), "<progress")  # type: ignore[misc]
        assert f"{len(rows)} rows are written" in text
        assert operator.get(f"{path}/file").status_code == 404
        file = viewer.get(f"{path}/file")
        assert file.status_code == 200
        assert f".{kind}" in file.headers["content-disposition"]
        if kind == "csv":
            read = list(csv.DictReader(io.StringIO(file.content.decode("utf-8-sig"), newline="")))
            assert [row["discrepancy_id"] for row in read] == [row["discrepancy_id"] for row in rows]
            assert [row["expected"] for row in read] == [
                "" if row["expected"] is None else f"{row['expected']:.4f}" for row in rows
            ]
        if kind == "parquet":
            table = pyarrow.parquet.read_table(io.BytesIO(file.content))
            assert table["expected"].to_pylist() == [row["expected"] for row in rows]
            assert table["raised_at"].to_pylist() == [row["raised_at"] for row in rows]


def test_an_export_may_be_cancelled(viewer: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    start = subprocess.Popen

    def held(*arguments: Any, **options: Any) -> subprocess.Popen[bytes]:
        """The process of an export stands still; it would be done in a moment."""
        process: subprocess.Popen[bytes] = start(*arguments, **options)
        process.send_signal(signal.SIGSTOP)
        return process

    monkeypatch.setattr("dashboards.exports.run.subprocess.Popen", held)
    path = viewer.submit("/discrepancies/exports", format="xlsx", query="standing=all").headers["location"]
    viewer.submit(f"{path}/cancel")
    text = until(lambda: text_of(viewer, path), "<progress")
    assert "cancelled" in text
    assert viewer.get(f"{path}/file").status_code == 404
