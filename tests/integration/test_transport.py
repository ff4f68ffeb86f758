"""The transport on a real Kafka, in worker processes that are stopped, killed and added: nothing lost, nothing early."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest
import structlog

from streams.time_order import BATCH_BYTES_MAX, STEP_RECORDS_MAX
from tests.integration.transport_scene import PARTITIONS, WAIT_SECONDS, Scene, wait_for
from trueup.embedded.kafka.broker import Kafka
from trueup.embedded.ports import free_port
from trueup.embedded.service import Backoff
from trueup.embedded.supervisor import Supervisor

pytestmark = pytest.mark.integration

log = structlog.get_logger()

SESSION_SECONDS = 6.0


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Kafka:
    return Kafka(tmp_path_factory.mktemp("kafka"), free_port(), free_port())


@pytest.fixture(scope="module")
def supervisor(broker: Kafka) -> Iterator[Supervisor]:
    supervisor = Supervisor(broker.data_dir, [broker.service()], backoff=Backoff(first_seconds=0.1))
    supervisor.start()
    yield supervisor
    supervisor.stop()


@pytest.fixture
def scene(broker: Kafka, supervisor: Supervisor, tmp_path: Path) -> Iterator[Scene]:
    scene = Scene(broker, tmp_path)
    yield scene
    for worker in scene.workers:
        if worker.poll() is None:
            worker.kill()
            worker.wait(WAIT_SECONDS)


def states(folder: Path) -> Path:
    path = folder / "state"
    path.mkdir()
    return path


def test_a_clean_stop_flushes_commits_and_exits_0(scene: Scene) -> None:
    scene.produce(5_000)
    # Nothing becomes durable before the stop, and marks come in disorder there.
    worker = scene.start(durable_every_batches=10**9, backwards=True)
    assert wait_for(scene.everything_handled)
    assert scene.committed() == {}
    assert scene.stop(worker) == 0
    assert scene.committed() == dict(scene.produced)
    assert [event["event"] for event in scene.events() if event["event"] != "handled"] == [
        *("assigned", "revoking", "durable", "revoked", "exit"),
    ]


def test_joined_topics_are_read_side_by_side(scene: Scene) -> None:
    """Though the records of one are a hundred times as large, so that a fetch brings far fewer of them."""
    small, large = scene.orders
    count, read_max = 12_000, 2_000
    scene.produce_joined({small: b"1", large: b"1" + b" " * 2_000}, count)
    worker = scene.start(batch_records_max=read_max)
    assert wait_for(scene.everything_handled)
    assert scene.stop(worker) == 0
    reached = {small: 0, large: 0}
    ahead = []
    for event in scene.events("handled"):
        if event["partition"] == 0:
            reached[event["topic"]] = event["last"] + 1
            ahead.append(abs(reached[small] - reached[large]))
    assert reached == {small: count, large: count}
    # One of them is noted first, with what its batch holds of it; beyond that they differ by steps.
    assert max(ahead) <= read_max + 2 * STEP_RECORDS_MAX


def test_a_batch_of_large_records_has_fewer_of_them(scene: Scene) -> None:
    """Compressed, hundreds of megabytes of them come in one fetch."""
    size, count = 100_000, 3_000
    scene.produce_joined({scene.orders[0]: b"1".ljust(size)}, count)
    worker = scene.start(batch_records_max=24_000)
    assert wait_for(scene.everything_handled)
    assert scene.stop(worker) == 0
    held = [event["last"] + 1 - event["first"] for event in scene.events("handled")]
    assert sum(held) == count
    assert max(held) * size <= BATCH_BYTES_MAX + STEP_RECORDS_MAX * size


def test_out_of_order_marks_commit_the_highest(scene: Scene) -> None:
    scene.produce(5_000)
    worker = scene.start(backwards=True, batch_records_max=100)
    assert wait_for(scene.everything_handled)
    assert wait_for(lambda: scene.committed() == dict(scene.produced))
    assert scene.stop(worker) == 0


@pytest.mark.slow
def test_kill_9_loses_nothing_and_counts_nothing_twice(scene: Scene) -> None:
    seed = random.SystemRandom().randrange(2**32)
    log.info("to repeat a failure, set this seed", seed=seed)
    chance = random.Random(seed)
    folder = states(scene.folder)
    scene.produce(30_000)
    behaviour = {
        "state_dir": str(folder),
        "batch_records_max": 150,
        "handler_seconds": 0.02,
        "durable_every_batches": 3,
    }
    for kills in range(1, 3):
        worker = scene.start(**behaviour)
        assert wait_for(lambda kills=kills: len(scene.events("opened")) == kills)  # type: ignore[misc]
        time.sleep(chance.uniform(0.0, 1.2))
        worker.kill()
        worker.wait(WAIT_SECONDS)
    worker = scene.start(**behaviour)
    assert wait_for(scene.everything_handled)
    assert scene.stop(worker) == 0
    assert scene.state_sum(folder) == scene.total
    assert scene.committed() == dict(scene.produced)
    assert_read_on_from_what_was_durable(scene)


def assert_read_on_from_what_was_durable(scene: Scene) -> None:
    """After each assignment, records come from the stored offset on without a gap; commits were never ahead of it."""
    durable: dict[tuple[str, int], int] = {}
    following: dict[tuple[str, int], int] = {}
    for event in scene.events():
        if event["event"] == "assigned":
            ahead = [(t, n, offset) for t, n, offset in event["committed"] if (offset or 0) > durable.get((t, n), 0)]
            assert ahead == []
        elif event["event"] == "opened":
            following = {(topic, number): offset or 0 for topic, number, offset in event["starts"]}
            # The kill may come after the state was written and before that was noted here.
            assert all(following[partition] >= offset for partition, offset in durable.items())
            durable = dict(following)
        elif event["event"] == "handled":
            assert event["first"] == following[event["topic"], event["partition"]]
            following[event["topic"], event["partition"]] = event["last"] + 1
        elif event["event"] == "durable":
            durable.update({(topic, number): end for topic, number, end in event["ends"]})


def test_a_member_that_comes_back_takes_over_while_the_others_go_on(scene: Scene) -> None:
    folder = states(scene.folder)
    # Nobody waits for this session to end: not after the kill, and not after the clean stop.
    session_seconds = 5 * SESSION_SECONDS
    behaviour = {"state_dir": str(folder), "session_seconds_max": session_seconds}
    stays, dies = scene.start(member="stays", **behaviour), scene.start(member="dies", **behaviour)
    scene.produce(3_000)
    assert wait_for(lambda: scene.settled([stays, dies]))
    at_rest = len(scene.events("assigned", "revoking"))
    dies.kill()
    dies.wait(WAIT_SECONDS)
    back = scene.start(member="dies", **behaviour)
    scene.produce(3_000)
    assert wait_for(lambda: any(event["pid"] == back.pid for event in scene.events("opened")))
    assert wait_for(scene.everything_handled)
    changes = scene.events("assigned", "revoking")[at_rest:]
    assert {(event["event"], event["pid"]) for event in changes} == {("assigned", back.pid)}
    assert scene.stop(back) == 0
    everything = len(scene.topics) * PARTITIONS
    assert wait_for(lambda: sum(stays.pid in pids for pids in scene.owners().values()) == everything, session_seconds)
    scene.produce(3_000)
    assert wait_for(scene.everything_handled)
    assert scene.stop(stays) == 0
    assert scene.state_sum(folder) == scene.total


@pytest.mark.slow
def test_one_three_one_workers(scene: Scene) -> None:
    folder = states(scene.folder)
    behaviour = {"state_dir": str(folder), "batch_records_max": 200, "open_seconds": 1.0}
    workers = [scene.start(**behaviour)]
    scene.produce(5_000)
    assert wait_for(lambda: scene.settled(workers))
    workers += [scene.start(**behaviour), scene.start(**behaviour)]
    scene.produce(5_000)
    assert wait_for(lambda: scene.settled(workers))
    for number in range(PARTITIONS):
        assert len(set.union(*(scene.owners()[topic, number] for topic in scene.topics))) == 1
    scene.produce(5_000)
    assert [scene.stop(worker) for worker in workers[:2]] == [0, 0]
    assert wait_for(lambda: scene.settled(workers[2:]))
    scene.produce(5_000)
    assert wait_for(scene.everything_handled)
    assert scene.stop(workers[2]) == 0
    assert scene.state_sum(folder) == scene.total
    assert scene.committed() == dict(scene.produced)
    assert_one_owner_at_a_time(scene)


def assert_one_owner_at_a_time(scene: Scene) -> None:
    """A partition is revoked, flush included, before its next owner hears of it; records come in between only."""
    owner: dict[tuple[str, int], int] = {}
    for event in sorted(scene.events(), key=lambda event: event["at"]):
        if event["event"] == "assigned":
            for topic, number, _ in event["committed"]:
                assert owner.setdefault((topic, number), event["pid"]) == event["pid"]
        elif event["event"] == "revoked":
            for topic, number in event["partitions"]:
                assert owner.pop((topic, number)) == event["pid"]
        elif event["event"] == "handled":
            assert owner[event["topic"], event["partition"]] == event["pid"]
    assert owner == {}


def test_reading_starts_at_the_offsets_of_the_state(scene: Scene) -> None:
    folder = states(scene.folder)
    for number in range(PARTITIONS):
        state = {"sum": 0, "ends": {scene.orders[0]: 7 + number, scene.orders[1]: 0}}
        (folder / f"{number}.json").write_bytes(orjson.dumps(state))
    scene.produce(600)
    worker = scene.start(state_dir=str(folder))
    expected = sum(scene.produced.values()) - sum(7 + number for number in range(PARTITIONS))
    assert wait_for(lambda: sum(map(len, scene.handled().values())) >= expected)
    assert scene.stop(worker) == 0
    firsts = {partition: min(offsets) for partition, offsets in scene.handled().items()}
    assert firsts == {
        (topic, number): 7 + number if topic == scene.orders[0] else 0
        for topic in scene.topics
        for number in range(PARTITIONS)
    }


def test_a_state_ahead_of_its_topic_is_refused(scene: Scene) -> None:
    folder = states(scene.folder)
    (folder / "0.json").write_bytes(orjson.dumps({"sum": 0, "ends": {scene.orders[0]: 1_000}}))
    scene.produce(60)
    assert scene.start(state_dir=str(folder)).wait(WAIT_SECONDS) == 1
    assert "deleted and created anew" in scene.output(0)
    assert "Traceback" not in scene.output(0)
    assert scene.handled() == {}


def test_a_failing_handler_ends_the_worker_and_its_batch_comes_again(scene: Scene) -> None:
    scene.produce(3_000)
    assert scene.start(fail_value="1500", batch_records_max=50).wait(WAIT_SECONDS) == 1
    assert "this record is refused" in scene.output(0)
    assert scene.events("revoking") == []
    (failing,) = scene.events("failing")
    # 1500 is a record of the first topic, partition 0.
    assert scene.committed().get((scene.orders[0], 0), 0) <= failing["offset"]
    assert not scene.everything_handled()
    worker = scene.start()
    assert wait_for(scene.everything_handled)
    assert scene.stop(worker) == 0
    assert scene.committed() == dict(scene.produced)


@pytest.mark.slow
def test_a_slow_handler_holds_back_fetching_but_not_heartbeats(scene: Scene) -> None:
    scene.produce(3_000)
    seconds = SESSION_SECONDS * 1.5
    worker = scene.start(handler_seconds=seconds, batch_records_max=50, session_seconds_max=SESSION_SECONDS)
    assert wait_for(lambda: len(scene.events("durable")) >= 2, 3 * seconds + WAIT_SECONDS)
    assert len(scene.events("assigned")) == 1
    assert scene.stop(worker) == 0
    # One batch of each stage was in the handler when the stop came; what waited behind it was dropped unread.
    assert sum(map(len, scene.handled().values())) <= 6 * 50
    durable = {(t, n): end for event in scene.events("durable") for t, n, end in event["ends"]}
    assert scene.committed() == durable


def test_a_handler_that_does_not_end_fails_the_worker(scene: Scene) -> None:
    scene.produce(60)
    worker = scene.start(handler_seconds=600.0, drain_seconds_max=1.0)
    assert wait_for(lambda: len(scene.events("handled")) > 0)
    assert scene.stop(worker) == 1
    assert scene.events("revoking", "durable") == []
    assert scene.committed() == {}


@pytest.mark.slow
def test_a_broker_restart_is_survived(scene: Scene, supervisor: Supervisor) -> None:
    scene.produce(3_000)
    worker = scene.start(durable_every_batches=2)
    assert wait_for(scene.everything_handled)
    supervisor.kill("kafka")
    scene.produce(3_000)
    assert wait_for(scene.everything_handled)
    assert worker.poll() is None
    assert scene.stop(worker) == 0
    assert scene.committed() == dict(scene.produced)
