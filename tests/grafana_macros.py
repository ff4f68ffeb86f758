"""What Grafana does to a query before it is sent: variables, and the macros of grafana-clickhouse-datasource.

Source: the macro table of the plugin's README. `$__conditionalAll` is replaced by the plugin's page, the others on its server.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

MACRO = re.compile(r"\$__(\w+)")


class Range(NamedTuple):
    """What the time picker says, and the width of a bar."""

    start: datetime
    end: datetime
    interval: timedelta


def expanded(sql: str, within: Range, chosen: Mapping[str, Sequence[str]]) -> str:
    """The SQL that reaches ClickHouse; `chosen` is variable → values, none of them standing for all."""
    text = sql
    found = MACRO.search(text)
    while found is not None:
        arguments, end = _arguments(text, found.end())
        name = found[1]
        replacement = _conditional(arguments, chosen) if name == "conditionalAll" else _SERVER[name](within, *arguments)
        text = text[: found.start()] + replacement + text[end:]
        found = MACRO.search(text)
    for name, values in chosen.items():
        text = text.replace(
            f"${{{name}:sqlstring}}", ",".join("'" + value.replace("'", "''") + "'" for value in values)
        )
    assert "$" not in text, f"not a macro of the plugin: {text}"
    return text


def _arguments(text: str, at: int) -> tuple[list[str], int]:
    """The arguments in the parentheses that open here, and where they end; none where none open."""
    if text[at : at + 1] != "(":
        return [], at
    depth, begin, arguments = 0, at + 1, []
    for place in range(at, len(text)):
        letter = text[place]
        depth += (letter == "(") - (letter == ")")
        if depth == 0 or (depth == 1 and letter == ","):
            arguments.append(text[begin:place].strip())
            begin = place + 1
        if depth == 0:
            return arguments, place + 1
    raise AssertionError(f"a parenthesis is not closed: {text[at:]}")


def _conditional(arguments: list[str], chosen: Mapping[str, Sequence[str]]) -> str:
    condition, variable = arguments
    return condition if chosen[variable.removeprefix("$")] else "1=1"


def _second(moment: datetime) -> str:
    return f"toDateTime({int(moment.timestamp())})"


def _day(moment: datetime) -> str:
    return f"toDate('{moment:%Y-%m-%d}')"


def _time_filter(within: Range, column: str) -> str:
    return f"{column} >= {_second(within.start)} AND {column} <= {_second(within.end)}"


def _date_filter(within: Range, column: str) -> str:
    return f"{column} >= {_day(within.start)} AND {column} <= {_day(within.end)}"


def _time_interval(within: Range, column: str) -> str:
    return f"toStartOfInterval(toDateTime({column}), INTERVAL {int(within.interval.total_seconds())} second)"


_SERVER: Mapping[str, Callable[..., str]] = {
    "fromTime": lambda within: _second(within.start),
    "toTime": lambda within: _second(within.end),
    "timeFilter": _time_filter,
    "dateFilter": _date_filter,
    "timeInterval": _time_interval,
    "interval_s": lambda within: str(int(within.interval.total_seconds())),
}
