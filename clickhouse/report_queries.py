"""What the report of a day asks, on the views: what was open, raised and resolved, how fast, how old, and what was refused.

The history of the discrepancies never changes, so that what is asked of it about a moment gets the same answer later. Times
are instants in UTC; amounts come back as Decimal in major units, and are added up by currency only.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Final

from clickhouse.query import Query

LARGEST_PER_CURRENCY: Final = 5
STATEMENTS_MAX: Final = 50

_DIFFERENCE: Final = "toDecimal256(coalesce(actual, 0), 4) - toDecimal256(coalesce(expected, 0), 4)"
"""A missing side counts as nothing; 256 bits, because the difference of two amounts may need one digit more."""

_STAKE: Final = f"if(isNull(expected) AND isNull(actual), NULL, abs({_DIFFERENCE}))"
_STEPS: Final = f"""SELECT discrepancy_id, rule, entity_kind, entity_id, currency, status, at, occurrences, version, {_STAKE} AS stake
    FROM {{database}}.v_discrepancy_events"""

_OPEN: Final = f"""SELECT discrepancy_id, argMax(raised, occurrences) AS raised_at, argMax(last, occurrences) AS state,
        state.1 AS rule, state.2 AS entity_kind, state.3 AS entity_id, state.4 AS currency, state.5 AS status, state.6 AS stake
    FROM
    (
        SELECT discrepancy_id, occurrences, min(at) AS raised,
            argMax(tuple(rule, entity_kind, entity_id, currency, status, stake), version) AS last
        FROM ({_STEPS}
            WHERE at < {{moment:DateTime64(6)}} AND discrepancy_id IN
            (
                SELECT discrepancy_id FROM {{database}}.v_discrepancies
                WHERE status != 'auto-resolved' OR resolved_at >= {{moment:DateTime64(6)}}
            ))
        GROUP BY discrepancy_id, occurrences
    )
    GROUP BY discrepancy_id
    HAVING status IN ('open', 'regressed')"""
"""The discrepancies that were open at a moment, by the steps before it."""

_TURNS: Final = f"""SELECT rule, currency, at, stake,
        status IN ('open', 'regressed') AND occurrences > lagInFrame(occurrences, 1, 0) OVER steps AS is_raise,
        status = 'auto-resolved' AND lagInFrame(status, 1, '') OVER steps != 'auto-resolved' AS is_resolution
    FROM ({_STEPS}
        WHERE at < {{end:DateTime64(6)}} AND discrepancy_id IN
        (
            SELECT discrepancy_id FROM {{database}}.v_discrepancy_events
            WHERE at >= {{start:DateTime64(6)}} AND at < {{end:DateTime64(6)}}
        ))
    WINDOW steps AS (PARTITION BY discrepancy_id ORDER BY version ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)"""
"""The steps of the discrepancies that moved in a span; a change of the amounts is neither a raise nor a resolution."""


def _query(database: str, text: str, **parameters: object) -> Query:
    return Query(text.replace("{database}", database), parameters)


def turns(database: str, start: datetime, end: datetime) -> Query:
    """rule, class, currency, raised, resolved, raised_amount, resolved_amount: what happened from start to before end."""
    return _query(
        database,
        f"""SELECT turned.rule AS rule, any(kinds.class) AS class, currency, countIf(is_raise) AS raised,
    countIf(is_resolution) AS resolved, sumIf(stake, is_raise) AS raised_amount, sumIf(stake, is_resolution) AS resolved_amount
FROM ({_TURNS}) AS turned
LEFT JOIN (SELECT rule, any(class) AS class FROM {{database}}.v_discrepancies GROUP BY rule) AS kinds ON kinds.rule = turned.rule
WHERE at >= {{start:DateTime64(6)}} AND (is_raise OR is_resolution)
GROUP BY rule, currency
ORDER BY rule, currency""",
        start=start,
        end=end,
    )


def hours(database: str, start: datetime, end: datetime, zone: str) -> Query:
    """hour, raised, resolved: the same by hour of the zone; an hour without either has no row."""
    return _query(
        database,
        f"""SELECT toStartOfHour(at, {{zone:String}}) AS hour, countIf(is_raise) AS raised, countIf(is_resolution) AS resolved
FROM ({_TURNS})
WHERE at >= {{start:DateTime64(6)}} AND (is_raise OR is_resolution)
GROUP BY hour
ORDER BY hour""",
        start=start,
        end=end,
        zone=zone,
    )


def open_by_rule(database: str, moment: datetime) -> Query:
    """rule, currency, cases, at_risk: what was open at the moment."""
    return _query(
        database,
        f"""SELECT rule, currency, count() AS cases, sum(stake) AS at_risk
FROM ({_OPEN})
GROUP BY rule, currency
ORDER BY rule, currency""",
        moment=moment,
    )


def risk(database: str, start: datetime, end: datetime) -> Query:
    """currency, cases_before, at_risk_before, cases, at_risk, change: money at risk at the end and a day before."""
    before = _OPEN.replace("{moment:", "{start:")
    after = _OPEN.replace("{moment:", "{end:")
    return _query(
        database,
        f"""SELECT currency, countIf(NOT is_end) AS cases_before, sumIf(stake, NOT is_end) AS at_risk_before,
    countIf(is_end) AS cases, sumIf(stake, is_end) AS at_risk, at_risk - at_risk_before AS change
FROM
(
    SELECT currency, coalesce(stake, 0) AS stake, false AS is_end FROM ({before})
    UNION ALL
    SELECT currency, coalesce(stake, 0) AS stake, true AS is_end FROM ({after})
)
GROUP BY currency
ORDER BY currency""",
        start=start,
        end=end,
    )


def ageing(database: str, moment: datetime) -> Query:
    """What was open at the moment: age (0 to 4: under 1, 3, 7, 30 days, and older), currency, cases, at_risk."""
    return _query(
        database,
        f"""SELECT multiIf(hours < 24, 0, hours < 72, 1, hours < 168, 2, hours < 720, 3, 4) AS age, currency,
    count() AS cases, sum(stake) AS at_risk
FROM (SELECT currency, stake, dateDiff('hour', raised_at, {{moment:DateTime64(6)}}) AS hours FROM ({_OPEN}))
GROUP BY age, currency
ORDER BY age, currency""",
        moment=moment,
    )


def largest(database: str, moment: datetime) -> Query:
    """discrepancy_id, rule, entity, shop_id, currency, stake, raised_at, standing: the largest open ones of each currency.

    The standing is the one of now: decisions of people are not followed back.
    """
    return _query(
        database,
        f"""SELECT held.discrepancy_id AS discrepancy_id, held.rule AS rule, concat(entity_kind, ' ', entity_id) AS entity,
    cases.shop_id AS shop_id, held.currency AS currency, stake, held.raised_at AS raised_at, cases.standing AS standing
FROM
(
    SELECT * FROM ({_OPEN})
    WHERE isNotNull(stake)
    ORDER BY currency, stake DESC, discrepancy_id
    LIMIT {LARGEST_PER_CURRENCY} BY currency
) AS held
LEFT JOIN (SELECT discrepancy_id, shop_id, standing FROM {{database}}.v_cases) AS cases
    ON cases.discrepancy_id = held.discrepancy_id
ORDER BY currency, stake DESC, discrepancy_id""",
        moment=moment,
    )


def latency(database: str, start: datetime, end: datetime) -> Query:
    """rule, found, p50_ms, p99_ms: source commit to detection of what was raised in the span and is still in that raise."""
    return _query(
        database,
        """SELECT rule, count() AS found, quantileExact(0.5)(latency_ms) AS p50_ms, quantileExact(0.99)(latency_ms) AS p99_ms
FROM {database}.v_discrepancies
WHERE opened_at >= {start:DateTime64(6)} AND opened_at < {end:DateTime64(6)} AND isNotNull(latency_ms)
GROUP BY rule WITH ROLLUP
ORDER BY rule""",
        start=start,
        end=end,
    )


def orders(database: str, start: datetime, end: datetime) -> Query:
    """verdict, orders: the orders whose first row was committed in the span, by their verdict now."""
    return _query(
        database,
        """SELECT verdict, count() AS orders
FROM {database}.v_orders
WHERE first_committed_at >= {start:DateTime64(6)} AND first_committed_at < {end:DateTime64(6)}
GROUP BY verdict
ORDER BY verdict""",
        start=start,
        end=end,
    )


def statuses(database: str) -> Query:
    """status, cases: every discrepancy by what the judges say now."""
    return _query(
        database, "SELECT status, count() AS cases FROM {database}.v_discrepancies GROUP BY status ORDER BY status"
    )


def decisions(database: str, start: datetime, end: datetime) -> Query:
    """kind, outcome, commands, people: what people decided in the span."""
    return _query(
        database,
        """SELECT kind, outcome, count() AS commands, uniqExact(actor) AS people
FROM {database}.v_audit_log
WHERE command_id != '' AND at >= {start:DateTime64(6)} AND at < {end:DateTime64(6)}
GROUP BY kind, outcome
ORDER BY kind, outcome""",
        start=start,
        end=end,
    )


def statements(database: str, start: datetime, end: datetime) -> Query:
    """verdict, currency, statements, upstream_amount, running_amount, delta_amount: closed in the span, by verdict now."""
    return _query(
        database,
        """SELECT verdict, currency, count() AS statements, sum(upstream_amount) AS upstream_amount,
    sum(running_amount) AS running_amount, sum(delta_amount) AS delta_amount
FROM {database}.v_statements
WHERE closed_at >= {start:DateTime64(6)} AND closed_at < {end:DateTime64(6)}
GROUP BY verdict, currency
ORDER BY verdict, currency""",
        start=start,
        end=end,
    )


def discrepant_statements(database: str, start: datetime, end: datetime) -> Query:
    """statement_id, shop_id, currency, upstream_amount, running_amount, delta_amount, rules: those closed and not agreed."""
    return _query(
        database,
        f"""SELECT statement_id, shop_id, currency, upstream_amount, running_amount, delta_amount,
    arrayStringConcat(open_rules, ', ') AS rules
FROM {{database}}.v_statements
WHERE closed_at >= {{start:DateTime64(6)}} AND closed_at < {{end:DateTime64(6)}} AND verdict = 'discrepant'
ORDER BY currency, abs(delta_amount) DESC, statement_id
LIMIT {STATEMENTS_MAX}""",
        start=start,
        end=end,
    )


def period(database: str, month: date) -> Query:
    """class, currency, raised, resolved_within, open_at_end and their amounts: the accounting period of a month, in UTC."""
    return _query(
        database,
        """SELECT class, currency, raised, resolved_within, open_at_end, raised_amount, resolved_within_amount, open_at_end_amount
FROM {database}.v_period_status
WHERE month = {month:Date32}
ORDER BY class, currency""",
        month=month,
    )


def quarantine(database: str, start: datetime, end: datetime) -> Query:
    """stage, code, messages, topics: what was refused in the span."""
    return _query(
        database,
        """SELECT stage, code, count() AS messages, arrayStringConcat(arraySort(groupUniqArray(topic)), ', ') AS topics
FROM {database}.v_quarantine
WHERE quarantined_at >= {start:DateTime64(6)} AND quarantined_at < {end:DateTime64(6)}
GROUP BY stage, code
ORDER BY stage, code""",
        start=start,
        end=end,
    )
