"""`trueup demo`: the main job, live, ending with the scorecard."""

from __future__ import annotations

import contextlib
import shutil
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import orjson
import typer
from rich.console import Console
from rich.live import Live

from trueup.cli.up_command import Broker, Workers, show_sign_in
from trueup.demo.run import SITE, Demo, DemoResult, DemoState, demo_rules
from trueup.demo.view import LiveView, show_scorecard
from trueup.embedded.memory_broker import LIMITS, SOURCE_CHANGES_PER_SECOND_MAX
from trueup.settings import ChargingSettings, StreamSettings
from trueup.stack import Stack
from trueup.upstream.plan import WorkloadPlan
from trueup.upstream.workload import plan_run


def demo(
    orders: Annotated[int, typer.Option(min=100, help="Orders to trade, bill, settle and pay.")] = 20_000,
    seed: Annotated[int, typer.Option(help="The same seed gives the same business and the same faults.")] = 1,
    rate: Annotated[float, typer.Option(min=1, help="Row changes per second that the source commits at most.")] = 3_000,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the stack running afterwards, until Ctrl-C.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object as the last line.")] = False,
    broker: Broker = "kafka",
    workers: Workers = 2,
    data_dir: Annotated[
        Path | None, typer.Option("--data-dir", help="Where to run; a new directory, removed afterwards, if not given.")
    ] = None,
) -> None:
    """Reconcile a real settlement database while it trades: planted faults in, scorecard out.

    The exit status is 1 if anything is missed, false or wrong.
    """
    console = Console(stderr=True, highlight=False)
    if broker == "memory":
        console.print(LIMITS, style="yellow")
        rate = min(rate, SOURCE_CHANGES_PER_SECOND_MAX)
    rules = demo_rules()
    plan = WorkloadPlan(
        orders=orders, seed=seed, faults=True, charging=True, grace_seconds=rules.grace_seconds, rate_per_second=rate
    )
    # Whether the faults find room among so few orders is known only when they are placed: before anything starts.
    plan_run(plan, 1)
    with _directory(data_dir) as directory:
        stack = Stack(
            directory, broker=broker, workers=workers, rules=rules,
            streams=StreamSettings(flush_interval_seconds=0.5), charging=ChargingSettings(spec="carrier"),
            sites=(SITE,),
            say=lambda text: console.print(text, style="dim"),
        )  # fmt: skip
        with stack.running():
            show_sign_in(console, stack.settings)
            result = _play(stack, plan, console)
            show_scorecard(console, result)
            if keep:
                console.print(f"the stack goes on below {directory}; Ctrl-C stops it")
                console.print(f"  trueup status --data-dir {directory}")
                stack.wait_for_signal()
    if json:
        sys.stdout.write(orjson.dumps(result.as_json()).decode() + "\n")
    raise typer.Exit(0 if result.card.clean else 1)


def _play(stack: Stack, plan: WorkloadPlan, console: Console) -> DemoResult:
    state = DemoState(plan.orders)
    play = Demo(stack, plan, state)
    stop = threading.Event()
    view = LiveView(state, play.reader_for_view(), play.listener)
    try:
        with (
            Live(view, console=console, refresh_per_second=4, transient=False)
            if console.is_terminal
            else _plain(console, state, stop)
        ):
            return play.play(stop)
    except KeyboardInterrupt:
        stop.set()
        raise
    finally:
        state.finished = True
        play.close()


@contextlib.contextmanager
def _plain(console: Console, state: DemoState, stop: threading.Event) -> Iterator[None]:
    """Without a terminal: a line whenever the phase changes, and every few seconds."""
    over = threading.Event()

    def tell() -> None:
        last, quiet = "", 0
        while not over.wait(1.0) and not stop.is_set():
            phase = "source stalled on purpose" if state.stalled else state.phase
            quiet += 1
            if phase != last or quiet >= 5:
                console.print(f"{state.progress.orders:,} orders, {state.progress.changes:,} changes: {phase}")
                last, quiet = phase, 0

    thread = threading.Thread(target=tell, name="progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@contextlib.contextmanager
def _directory(data_dir: Path | None) -> Iterator[Path]:
    if data_dir is not None:
        yield data_dir
        return
    temporary = Path(tempfile.mkdtemp(prefix="trueup-demo-"))
    try:
        yield temporary
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
