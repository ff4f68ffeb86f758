"""`python -m benchmarks`: run every benchmark on real parts, write `results.md` and `results.json` beside this file."""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import orjson

from benchmarks import cdc, formula, latency, pages, rebuild, spec_cost, throughput
from benchmarks.machine import loop_ms, machine

HERE: Final = Path(__file__).parent
PARTS: Final = ("throughput", "latency", "rebuild", "spec", "formula", "pages", "cdc")

TARGETS: Final[tuple[tuple[str, str, str, Callable[[float], bool] | None], ...]] = (
    (
        "throughput_changes_per_s",
        "changes per second from Kafka, everything included",
        "≥ 40,000",
        lambda v: v >= 40_000,
    ),
    ("throughput_ratio", "times as fast as stock Faust with Faust tables", "≥ 4", lambda v: v >= 4),
    ("baseline_changes_per_s", "stock Faust on the same topics, same run", "", None),
    ("latency_p50_ms", "detection latency p50 at 2,000 changes/s, ms", "< 300", lambda v: v < 300),
    ("latency_p99_ms", "detection latency p99, ms", "< 1,000", lambda v: v < 1_000),
    (
        "rebuild_orders_per_s",
        "orders per second, rebuild of a partition from ClickHouse",
        "≥ 200,000",
        lambda v: v >= 200_000,
    ),
    ("rebuild_orders_per_s_while_merging", "the same, while ClickHouse merges what was inserted before", "", None),
    (
        "spec_cost_ratio",
        "times the cost of hand-written rules, judging an order by the default spec",
        "≤ 1.3",
        lambda v: v <= 1.3,
    ),
    (
        "formula_evals_per_s",
        "evaluations per second of the carrier's formula, one core",
        "≥ 100,000",
        lambda v: v >= 100_000,
    ),
    (
        "cdc_rows_per_s",
        "row changes per second, PostgreSQL's log to Kafka, our reader",
        "≥ 20,000",
        lambda v: v >= 20_000,
    ),
    ("debezium_rows_per_s", "the same by Debezium in Kafka Connect, same run", "", None),
    ("page_p95_ms", "the slowest page at the server, p95, ms", "< 200", lambda v: v < 200),
    ("page_naive_list_p95_ms", "a list by GROUP BY and OFFSET on the same books, p95, ms", "", None),
    ("page_update_ms", "from detection to the row on an open page, median, ms", "< 1,000", lambda v: v < 1_000),
    ("page_update_p95_ms", "the same, p95, ms", "", None),
    ("worker_rss_mib", "memory of one worker after all orders, MiB", "< 1,024", lambda v: v < 1_024),
)


def main() -> None:
    """Run the chosen parts; figures of parts that are not run stay as they were."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("parts", nargs="*", help=f"any of {', '.join(PARTS)} (all of them if none is given)")
    parser.add_argument("--orders", type=int, default=200_000, help="orders of the throughput benchmark")
    parser.add_argument("--rounds", type=int, default=3, help="runs of the throughput benchmark; the median counts")
    parser.add_argument("--latency-orders", type=int, default=24_000)
    parser.add_argument("--memory-orders", type=int, default=2_000_000)
    parser.add_argument("--cdc-changes", type=int, default=400_000, help="row changes that each reader reads")
    parser.add_argument("--page-cases", type=int, default=1_000_000, help="discrepancies in the books of the pages")
    parser.add_argument("--page-orders", type=int, default=10_000_000, help="orders in the books of the pages")
    chosen = parser.parse_args()
    unknown = set(chosen.parts) - set(PARTS)
    if unknown:
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    path = HERE / "results.json"
    results: dict[str, Any] = orjson.loads(path.read_bytes()) if path.exists() else {}
    directory = Path(tempfile.mkdtemp(prefix="trueup-bench-"))
    try:
        for part in chosen.parts or PARTS:
            print(f"{part} …", flush=True)
            loop_before_ms = loop_ms()
            began_at = time.monotonic()
            figures = _measure(part, directory, chosen)
            results.update(figures)
            print(orjson.dumps(figures, option=orjson.OPT_INDENT_2).decode(), flush=True)
            print(f"{part}: {time.monotonic() - began_at:.0f} s", flush=True)
            results.setdefault("measured_at", {})[part] = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
            results.setdefault("loop_ms", {})[part] = [loop_before_ms, loop_ms()]
            results["machine"] = machine()
            path.write_bytes(orjson.dumps(results, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
            (HERE / "results.md").write_text(_report(results), encoding="utf-8")
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _measure(part: str, directory: Path, chosen: argparse.Namespace) -> dict[str, Any]:
    if part == "throughput":
        return throughput.run(directory, chosen.orders, chosen.rounds)
    if part == "latency":
        return latency.run(directory, chosen.latency_orders)
    if part == "spec":
        return spec_cost.run()
    if part == "formula":
        return formula.run()
    if part == "cdc":
        return cdc.run(directory, chosen.cdc_changes)
    if part == "pages":
        return pages.run(directory, chosen.page_cases, chosen.page_orders)
    return rebuild.run(directory, chosen.memory_orders)


def _report(results: dict[str, Any]) -> str:
    lines = [
        "# Benchmark results",
        "",
        f"Written by `make bench`: {results['machine']}. All services, load and workers share these cores. Such machines are",
        "noisy: read ratios rather than absolutes. Parts are measured apart. The loop is a fixed piece of work on all cores, timed",
        "before and after each part (`benchmarks/machine.py`): where it takes twice the time, so does about everything.",
        "",
        "| part | measured | loop, ms |",
        "|---|---|---:|",
        *(
            f"| {part} | {at} | {' – '.join(map(str, results['loop_ms'].get(part, [])))} |"
            for part, at in results["measured_at"].items()
        ),
        "",
        "| figure | measured | target | met |",
        "|---|---:|---:|---|",
    ]
    for key, text, target, met in TARGETS:
        if key in results:
            verdict = "" if met is None else "yes" if met(results[key]) else "no"
            lines.append(f"| {text} (`{key}`) | {results[key]:,} | {target} | {verdict} |")
    if "page_times" in results:
        books = results["page_books"]
        lines += [
            "",
            f"Pages at the server, with {books['cases']:,} discrepancies and {books['orders']:,} orders:",
            "",
            "| page | p50 ms | p95 ms |",
            "|---|---:|---:|",
        ]
        lines += [_spread_row(name, each) for name, each in results["page_times"].items()]
        lines += ["", "Parts that come behind their page:", "", "| part | p50 ms | p95 ms |", "|---|---:|---:|"]
        lines += [_spread_row(name, each) for name, each in results.get("page_part_times", {}).items()]
    lines += ["", "Every figure, with single runs and CPU time per change, is in `results.json`.", ""]
    return "\n".join(lines)


def _spread_row(name: str, spread: dict[str, float]) -> str:
    return f"| {name} | {spread['p50_ms']:,} | {spread['p95_ms']:,} |"


if __name__ == "__main__":
    main()
