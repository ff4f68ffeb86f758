"""The name under which a worker comes back to its group."""

from __future__ import annotations

from pathlib import Path

import pytest

from streams.membership import NAME_FILE, member_name
from trueup.embedded.runtime import DataDirLock
from trueup.model.errors import ConfigurationError
from trueup.settings import Settings
from trueup.wiring import LOCK_FILE, run_stream_worker

TOPICS = ["orders", "items"]


def test_a_worker_keeps_its_name(tmp_path: Path) -> None:
    assert member_name(tmp_path, TOPICS) == member_name(tmp_path, reversed(TOPICS))


def test_no_two_workers_share_a_name(tmp_path: Path) -> None:
    names = set()
    for number in range(3):
        directory = tmp_path / str(number)
        directory.mkdir()
        names.add(member_name(directory, TOPICS))
    assert len(names) == 3


def test_other_topics_make_another_member(tmp_path: Path) -> None:
    assert member_name(tmp_path, TOPICS) != member_name(tmp_path, [*TOPICS, "payouts"])


def test_a_name_that_a_crash_left_half_written_is_made_anew(tmp_path: Path) -> None:
    (tmp_path / NAME_FILE).touch()
    name = member_name(tmp_path, TOPICS)
    assert len(name) > 30
    assert member_name(tmp_path, TOPICS) == name


def test_a_second_process_is_kept_off_the_directory_of_a_worker(tmp_path: Path) -> None:
    directory = tmp_path / "worker-1"
    directory.mkdir()
    lock = DataDirLock(directory, LOCK_FILE)
    lock.acquire()
    with pytest.raises(ConfigurationError, match="in use by the process with pid"):
        run_stream_worker(Settings(data_dir=tmp_path), 1, None)
    lock.release()
