"""The supervisor with tiny children: order, restart, backoff, stop, scale, pause, and the lock."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import orjson
import psutil
import pytest

from trueup.embedded.child import Child
from trueup.embedded.logs import rotate, tail
from trueup.embedded.runtime import ServiceState, State, is_locked, read_runtime
from trueup.embedded.scrape_targets import TARGETS_FILE
from trueup.embedded.service import Backoff, Service
from trueup.embedded.supervisor import Supervisor
from trueup.model.errors import ConfigurationError, TrueupError, UnavailableError

QUICK = Backoff(first_seconds=0.05, max_seconds=0.2, healthy_after_seconds=0.2)
WAIT_SECONDS = 120.0


def child(name: str, code: str = "", **options: object) -> Service:
    """A python process that runs `code`, says so in its log and then sleeps."""
    script = f"import os, signal, sys, time\n{code}\nprint('up', flush=True)\ntime.sleep(600)"
    return Service(name=name, command=[sys.executable, "-S", "-c", script], stop_timeout_seconds=5, **options)  # type: ignore[arg-type]


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.02)


@contextmanager
def running(supervisor: Supervisor) -> Iterator[Supervisor]:
    supervisor.start()
    try:
        yield supervisor
    finally:
        supervisor.stop()


def one(supervisor: Supervisor, name: str) -> ServiceState:
    return next(state for state in supervisor.states() if state.name == name)


def pid_of(supervisor: Supervisor, name: str) -> int:
    pid = one(supervisor, name).pid
    assert pid is not None
    return pid


def note(events: Path, word: str, *, at_exit: bool = False) -> str:
    """Code that appends a word to a file, now or on SIGTERM."""
    write = f"open({str(events)!r}, 'a').write({word!r} + '\\n')"
    return f"signal.signal(signal.SIGTERM, lambda *_: ({write}, os._exit(0)))" if at_exit else write


def test_services_start_in_order_and_stop_in_reverse(tmp_path: Path) -> None:
    events = tmp_path / "events"
    services = [
        child(
            name,
            note(events, f"+{name}") + "\n" + note(events, f"-{name}", at_exit=True),
            ready=lambda name=name: events.exists() and f"+{name}\n" in events.read_text(),
        )
        for name in ("a", "b", "c")
    ]
    supervisor = Supervisor(tmp_path / "data", services, backoff=QUICK)
    with running(supervisor):
        assert [state.state for state in supervisor.states()] == [State.READY] * 3
        until(lambda: all("up" in tail(supervisor.log_path(name)) for name in ("a", "b", "c")))
    assert events.read_text().split() == ["+a", "+b", "+c", "-c", "-b", "-a"]
    assert [state.state for state in supervisor.states()] == [State.STOPPED] * 3


def test_a_killed_child_is_restarted(tmp_path: Path) -> None:
    with running(Supervisor(tmp_path, [child("a")], backoff=QUICK)) as supervisor:
        first = pid_of(supervisor, "a")
        supervisor.kill("a")
        until(lambda: one(supervisor, "a").restarts == 1 and one(supervisor, "a").state is State.READY)
        state = one(supervisor, "a")
        assert state.pid != first
        assert state.last_error == "a ended with SIGKILL"


def test_a_child_that_dies_just_before_its_stop_is_collected(tmp_path: Path) -> None:
    dying = Child(child("a"), tmp_path / "a.log", QUICK, monotonic=time.monotonic, now_us=lambda: 0)
    until(lambda: dying.step() and dying.state is State.READY)
    pid = dying.describe().pid
    assert dying.kill()
    until(lambda: psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    dying.request_stop()
    until(lambda: dying.step() and dying.ended)
    assert dying.state is State.STOPPED
    assert not psutil.pid_exists(pid or 0)


def test_a_dead_leader_takes_its_group_along(tmp_path: Path) -> None:
    pid_file = tmp_path / "grandchild"
    code = (
        "import subprocess\n"
        "grandchild = subprocess.Popen([sys.executable, '-S', '-c', 'import time; time.sleep(600)'])\n"
        f"open({str(pid_file)!r}, 'w').write(str(grandchild.pid))"
    )
    service = child("a", code, ready=lambda: pid_file.exists() and pid_file.read_text() != "")
    with running(Supervisor(tmp_path / "data", [service], backoff=QUICK)) as supervisor:
        grandchild = psutil.Process(int(pid_file.read_text()))
        os.kill(pid_of(supervisor, "a"), signal.SIGKILL)
        until(lambda: not grandchild.is_running() or grandchild.status() == psutil.STATUS_ZOMBIE)
        until(lambda: one(supervisor, "a").last_error == "a ended with SIGKILL")
        assert one(supervisor, "a").last_error == "a ended with SIGKILL"


def test_backoff_doubles_up_to_its_bound() -> None:
    backoff = Backoff(first_seconds=0.2, max_seconds=3)
    assert [backoff.delay_seconds(failures) for failures in (1, 2, 3, 4, 5, 6, 5000)] == [0.2, 0.4, 0.8, 1.6, 3, 3, 3]


def test_failures_are_forgotten_after_a_healthy_time(tmp_path: Path) -> None:
    backoff = Backoff(first_seconds=0.01, max_seconds=0.01, healthy_after_seconds=0.05, restart_attempts_max=2)
    with running(Supervisor(tmp_path, [child("a")], backoff=backoff)) as supervisor:
        for kill in range(1, 4):
            time.sleep(0.8)
            supervisor.kill("a")
            until(lambda kill=kill: one(supervisor, "a").restarts == kill and one(supervisor, "a").pid is not None)  # type: ignore[misc]
        until(lambda: one(supervisor, "a").state is State.READY)
        assert one(supervisor, "a").restarts == 3


def test_a_child_that_always_dies_is_given_up_and_the_others_live(tmp_path: Path) -> None:
    backoff = Backoff(first_seconds=0.01, max_seconds=0.02, healthy_after_seconds=600, restart_attempts_max=3)
    services = [child("a"), child("b")]
    with running(Supervisor(tmp_path, services, backoff=backoff)) as supervisor:
        survivor = pid_of(supervisor, "a")
        for restarts in (1, 2):
            supervisor.kill("b")
            until(lambda n=restarts: one(supervisor, "b").restarts == n and one(supervisor, "b").pid is not None)  # type: ignore[misc]
        supervisor.kill("b")
        until(lambda: one(supervisor, "b").state is State.FAILED)
        assert one(supervisor, "a").pid == survivor


def test_a_service_without_restart_stays_down(tmp_path: Path) -> None:
    with running(Supervisor(tmp_path, [child("a", restart=False)], backoff=QUICK)) as supervisor:
        supervisor.kill("a")
        until(lambda: one(supervisor, "a").state is State.FAILED)
        with pytest.raises(UnavailableError, match="no process"):
            supervisor.kill("a")


def test_a_start_that_fails_tells_the_end_of_the_log(tmp_path: Path) -> None:
    # Never ready: without a check, a slow machine would count it as ready before it has ended.
    bad = child("bad", "sys.exit('no such ledger')", ready=lambda: False)
    supervisor = Supervisor(tmp_path, [child("good"), bad], backoff=QUICK)
    with pytest.raises(TrueupError) as caught:
        supervisor.start()
    assert "bad ended with exit status 1" in caught.value.what
    assert "no such ledger" in caught.value.where
    assert one(supervisor, "good").pid is None
    assert not is_locked(tmp_path)


def test_readiness_that_never_comes_ends_with_an_error(tmp_path: Path) -> None:
    slow = child("slow", "print('warming up', flush=True)", ready=lambda: False, ready_timeout_seconds=1, restart=False)
    with pytest.raises(TrueupError, match="did not get ready within 1 s") as caught:
        Supervisor(tmp_path, [slow], backoff=QUICK).start()
    assert "warming up" in caught.value.where


def test_a_missing_program_is_the_users_to_repair(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="a cannot be started"):
        Supervisor(tmp_path, [Service("a", ["/nonexistent/program"])], backoff=QUICK).start()


def test_an_error_of_the_preparation_reaches_the_caller(tmp_path: Path) -> None:
    def prepare() -> list[str]:
        raise ConfigurationError("Java is too old", remedy="install 17")

    with pytest.raises(ConfigurationError, match="Java is too old"):
        Supervisor(tmp_path, [Service("a", prepare)], backoff=QUICK).start()


def test_a_child_deaf_to_its_stop_signal_is_killed(tmp_path: Path) -> None:
    marker = tmp_path / "deaf"
    code = f"signal.signal(signal.SIGTERM, signal.SIG_IGN); open({str(marker)!r}, 'w')"
    script = f"import signal, time\n{code}\ntime.sleep(600)"
    deaf = Service("a", [sys.executable, "-S", "-c", script], ready=marker.exists, stop_timeout_seconds=0.5)
    supervisor = Supervisor(tmp_path / "data", [deaf], backoff=QUICK)
    supervisor.start()
    process = psutil.Process(pid_of(supervisor, "a"))
    supervisor.stop()
    assert not process.is_running()


def test_scale_adds_and_removes_numbered_services(tmp_path: Path) -> None:
    supervisor = Supervisor(
        tmp_path, [child("a")], templates={"worker": lambda number: child(f"worker-{number}")}, backoff=QUICK
    )
    with running(supervisor):
        supervisor.scale("worker", 1)
        supervisor.wait_ready(WAIT_SECONDS)
        first = pid_of(supervisor, "worker-1")
        supervisor.scale("worker", 3)
        supervisor.wait_ready(WAIT_SECONDS)
        assert [state.name for state in supervisor.states()] == ["a", "worker-1", "worker-2", "worker-3"]
        surplus = psutil.Process(pid_of(supervisor, "worker-3"))
        supervisor.scale("worker", 1)
        assert [state.name for state in supervisor.states()] == ["a", "worker-1"]
        assert pid_of(supervisor, "worker-1") == first
        assert not surplus.is_running()
        supervisor.remove("worker-1")
        assert [state.name for state in supervisor.states()] == ["a"]
        with pytest.raises(ConfigurationError, match="cannot be scaled"):
            supervisor.scale("a", 2)


def test_pause_holds_a_process_and_resume_lets_it_go_on(tmp_path: Path) -> None:
    with running(Supervisor(tmp_path, [child("a")], backoff=QUICK)) as supervisor:
        process = psutil.Process(pid_of(supervisor, "a"))
        supervisor.pause("a")
        until(lambda: process.status() == psutil.STATUS_STOPPED)
        assert one(supervisor, "a").paused
        assert one(supervisor, "a").state is State.READY
        supervisor.resume("a")
        until(lambda: process.status() != psutil.STATUS_STOPPED)
        supervisor.pause("a")
    assert not process.is_running()


def test_one_supervisor_per_data_directory(tmp_path: Path) -> None:
    in_use = pytest.raises(ConfigurationError, match=f"in use by the process with pid {os.getpid()}")
    with running(Supervisor(tmp_path, [child("a")], backoff=QUICK)), in_use:
        Supervisor(tmp_path, [child("b")], backoff=QUICK).start()
    with running(Supervisor(tmp_path, [child("b")], backoff=QUICK)) as supervisor:
        assert one(supervisor, "b").state is State.READY


def test_other_commands_read_the_state_from_disk(tmp_path: Path) -> None:
    with running(Supervisor(tmp_path, [child("a", port=4711)], backoff=QUICK)) as supervisor:
        supervisor.pause("a")
        runtime = read_runtime(tmp_path)
        assert runtime.supervisor_pid == os.getpid()
        assert runtime.services == supervisor.states()
        assert 0 < runtime.started_us <= runtime.services[0].since_us <= time.time_ns() // 1000
        assert (runtime.services[0].port, runtime.services[0].paused) == (4711, True)
        assert stat.S_IMODE((tmp_path / "runtime.json").stat().st_mode) == 0o600
        assert stat.S_IMODE((tmp_path / "log" / "a.log").stat().st_mode) == 0o600
    with pytest.raises(UnavailableError, match="no stack is running"):
        read_runtime(tmp_path)


def test_logs_are_bounded(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    with log.open("ab") as appended:
        appended.write(b"old\n" * 100)
        appended.flush()
        assert rotate(log, bytes_max=100)
        appended.write(b"new\n")
    assert log.read_bytes() == b"new\n"
    assert (tmp_path / "a.log.1").read_bytes() == b"old\n" * 100
    assert not rotate(log, bytes_max=100)


RUNNER = """
import sys
from pathlib import Path
from trueup.embedded.service import Service
from trueup.embedded.supervisor import Supervisor
sleeper = [sys.executable, "-S", "-c", "import time; time.sleep(600)"]
Supervisor(Path(sys.argv[1]), [Service("a", sleeper), Service("b", sleeper)]).run(lambda: print("ready", flush=True))
print("stopped", flush=True)
"""


@contextmanager
def supervisor_process(data_dir: Path) -> Iterator[tuple[subprocess.Popen[str], list[psutil.Process]]]:
    """A supervisor in a process of its own, and its children."""
    process = subprocess.Popen([sys.executable, "-c", RUNNER, str(data_dir)], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        while (line := process.stdout.readline()) != "ready\n":
            assert line, "the supervisor ended"
        yield process, [psutil.Process(state.pid) for state in read_runtime(data_dir).services]
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_everything(tmp_path: Path, number: signal.Signals) -> None:
    with supervisor_process(tmp_path) as (process, children):
        process.send_signal(number)
        output, _ = process.communicate(timeout=WAIT_SECONDS)
        assert output.endswith("stopped\n")
        assert process.returncode == 0
        assert not any(each.is_running() for each in children)


def test_children_die_with_a_killed_supervisor(tmp_path: Path) -> None:
    with supervisor_process(tmp_path) as (process, children):
        assert len(children) == 2
        process.kill()
        until(lambda: not any(each.is_running() and each.status() != psutil.STATUS_ZOMBIE for each in children))
        until(lambda: not is_locked(tmp_path))


def scraped(data_dir: Path) -> list[tuple[str, str]]:
    """(service, address) of what Prometheus is told to ask."""
    targets = orjson.loads((data_dir / TARGETS_FILE).read_bytes())
    return [(target["labels"]["service"], *target["targets"]) for target in targets]


def test_prometheus_finds_what_serves_metrics_also_after_scaling(tmp_path: Path) -> None:
    def worker(number: int) -> Service:
        return child(f"worker-{number}", port=23_000 + number, serves_metrics=True)

    services = [child("postgres", port=22_000), worker(1)]
    with running(Supervisor(tmp_path, services, templates={"worker": worker}, backoff=QUICK)) as supervisor:
        assert scraped(tmp_path) == [("worker-1", "127.0.0.1:23001")]
        supervisor.scale("worker", 2)
        until(lambda: one(supervisor, "worker-2").state is State.READY)
        until(lambda: scraped(tmp_path)[1:] == [("worker-2", "127.0.0.1:23002")])
        supervisor.scale("worker", 1)
        assert scraped(tmp_path) == [("worker-1", "127.0.0.1:23001")]


def test_what_is_not_awaited_holds_nobody_up(tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    services = [child("slow", ready=ready.exists, awaited=False), child("next")]
    supervisor = Supervisor(tmp_path / "data", services, backoff=QUICK)
    starting = threading.Thread(target=supervisor.start)
    starting.start()
    try:
        until(lambda: one(supervisor, "next").state is State.READY)
        assert one(supervisor, "slow").state is State.STARTING
        ready.touch()
        starting.join(WAIT_SECONDS)
        assert one(supervisor, "slow").state is State.READY
    finally:
        ready.touch()
        starting.join(WAIT_SECONDS)
        supervisor.stop()
