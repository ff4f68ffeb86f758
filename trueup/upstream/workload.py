"""Runs the reference business on a real PostgreSQL: seeded, over several sessions, paced, with faults and traps if asked."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import ExitStack, closing
from dataclasses import dataclass

import psycopg2
from psycopg2 import errors
from psycopg2.extensions import connection as Connection  # noqa: N812  # a class, whatever its name looks like

from trueup.model.errors import ConfigurationError, UnavailableError
from trueup.model.money import to_decimal
from trueup.upstream.books import draw_books, plan_payouts
from trueup.upstream.carrier import plan_runs, plant_edited_factors, plant_wrong_charges
from trueup.upstream.faults import plant_order_faults, plant_statement_faults
from trueup.upstream.plan import ID_BLOCK, Books, Shop, WorkloadPlan
from trueup.upstream.session import Pacer, Session, Tally, WorkloadProgress
from trueup.upstream.traps import plant_traps
from trueup.upstream.worker import Worker

Connect = str | Callable[[], Connection]
"""A libpq connection string, or what opens a connection that is not in autocommit mode."""


@dataclass(frozen=True, slots=True)
class WorkloadResult:
    """What a run did: committed orders and row changes of source tables, and how long it took."""

    orders: int
    changes: int
    faults: int
    traps: int
    elapsed_seconds: float
    stopped: bool


def run(
    connect: Connect,
    plan: WorkloadPlan,
    progress: Callable[[WorkloadProgress], None] | None = None,
    stop: threading.Event | None = None,
) -> WorkloadResult:
    """Run a plan to its end, on a database that `schema.create` has prepared.

    Runs may follow each other in one database; each takes ids of its own. Unless stopped, every statement without a fault
    ends paid. A stopped run leaves its unfinished statements open, with totals that agree.

    Args:
        connect: where to.
        plan: what to do.
        progress: called after every commit with the counts so far, by the committing thread; it must be quick.
        stop: ends the run early, at the end of what is under way.

    Raises:
        ConfigurationError: the plan or the database is not usable.
        UnavailableError: the database cannot be reached, or was lost on the way.
    """
    stop = stop or threading.Event()
    began_at = time.monotonic()
    pacer, tally = Pacer(plan.rate_per_second, stop, time.monotonic), Tally(progress)
    try:
        with ExitStack() as stack:
            sessions = [
                Session(stack.enter_context(closing(_open(connect))), pacer, tally) for _ in range(plan.connections)
            ]
            books = plan_run(plan, _run_no(sessions[0]))
            _write_rules(sessions[0], books)
            workers = [
                Worker(plan, books, shops, session, time.monotonic, stop)
                for session, shops in zip(sessions, share_shops(books, plan.connections), strict=True)
            ]
            _run_all(workers, stop)
    except (psycopg2.OperationalError, psycopg2.InterfaceError) as error:
        raise UnavailableError(f"the source database is lost: {error}".strip()) from error
    except errors.UndefinedTable as error:
        raise ConfigurationError(
            "the source database has no settlement schema", where=str(error).strip(), remedy="create the schema first"
        ) from error
    done = tally.progress()
    elapsed_seconds = time.monotonic() - began_at
    return WorkloadResult(done.orders, done.changes, done.faults, done.traps, elapsed_seconds, stop.is_set())


def plan_run(plan: WorkloadPlan, run_no: int) -> Books:
    """All that run number `run_no` will do; the same for the same arguments.

    Raises:
        ConfigurationError: the plan asks for what cannot be.
    """
    books = draw_books(plan, run_no)
    rng = random.Random(f"{plan.seed} faults")
    if plan.charging:
        plan_runs(books, rng)
    if plan.faults:
        plant_order_faults(books, plan.fault_copies, rng)
        if plan.charging:
            plant_wrong_charges(books, plan.fault_copies, rng)
            plant_edited_factors(books, plan.fault_copies, rng)
        if plan.traps:
            plant_traps(books, plan.fault_copies, rng)
    plan_payouts(books)
    if plan.faults:
        plant_statement_faults(books, plan.fault_copies, rng)
    return books


def share_shops(books: Books, parts: int) -> list[list[Shop]]:
    """Split the shops into parts of about the same number of orders."""
    orders = dict.fromkeys(books.shops, 0)
    for statement in books.statements():
        orders[statement.shop] += len(statement.orders)
    shares: list[list[Shop]] = [[] for _ in range(parts)]
    loads = [0] * parts
    for shop in sorted(books.shops, key=lambda shop: (-orders[shop], shop.shop_id)):
        lightest = loads.index(min(loads))
        shares[lightest].append(shop)
        loads[lightest] += orders[shop]
    return shares


def _open(connect: Connect) -> Connection:
    return psycopg2.connect(connect) if isinstance(connect, str) else connect()


def _run_no(session: Session) -> int:
    with session.transaction(0) as work:
        work.cursor.execute("SELECT coalesce(max(order_id) / %s + 1, 0) FROM public.orders", (ID_BLOCK,))
        ((run_no,),) = work.cursor.fetchall()
    return int(run_no)


def _write_rules(session: Session, books: Books) -> None:
    """The payout rules; those that exist stay."""
    with session.transaction(len(books.rules)) as work:
        for rule in books.rules:
            threshold = to_decimal(rule.threshold_minor, rule.payment_currency)
            work.cursor.execute(
                "INSERT INTO public.rule (rule_id, cycle, auto_payment, payment_threshold, payment_currency, is_hold)"
                " VALUES (%s, %s, true, %s, %s, %s) ON CONFLICT (rule_id) DO NOTHING",
                (rule.rule_id, rule.cycle, threshold, rule.payment_currency, rule.is_hold),
            )
            work.count("changes", work.cursor.rowcount)


def _run_all(workers: Sequence[Worker], stop: threading.Event) -> None:
    """Run the workers to their end; when one fails the others stop early, and its error is raised."""
    with ThreadPoolExecutor(len(workers), thread_name_prefix="upstream") as pool:
        running = [pool.submit(worker.run) for worker in workers]
        try:
            finished, _ = wait(running, return_when=FIRST_EXCEPTION)
        except KeyboardInterrupt:
            stop.set()
            raise
        if any(each.exception() for each in finished):
            stop.set()
        for each in running:
            each.result()
