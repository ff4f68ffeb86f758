"""What pages ask about payouts, releases and the funding of channels.

Each function gives a query on the views; amounts come back as Decimal in major units, times as aware datetimes in UTC. Lists
are sorted by the length of an id before its text, so that numbers stand in their order.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from clickhouse.keyset import behind_id, cursor_parts
from clickhouse.query import Query

STATUSES: Final = ("created", "ongoing", "paid", "failed", "failed_no_retry")
LIST_KEYS: Final = ("payout_id",)
LINE_KEYS: Final = ("payout_item_id",)
RELEASES_MAX: Final = 200
DAYS_MAX: Final = 400


class PayoutFilter(NamedTuple):
    """Which payouts are meant; what is left empty does not restrict."""

    channel: str = ""
    status: str = ""
    currency: str = ""
    seller: str = ""


def payouts_by_channel(database: str) -> Query:
    """payment_method, currency, status, payouts, amount, newest_at: live payouts added up."""
    return Query(
        "SELECT payment_method, currency, status, count() AS payouts, sum(amount) AS total, max(updated_at) AS newest_at "
        f"FROM {database}.v_payouts GROUP BY payment_method, currency, status "
        "ORDER BY payment_method, currency, status LIMIT 1000"
    )


def funding_by_channel(database: str) -> Query:
    """payment_method, currency, funded, announced, released, waiting, balance.

    `funded` and `released` are what counts for funding-short; `announced` fundings and `waiting` releases are not there yet.
    """
    return Query(
        "SELECT payment_method, currency, sumIf(given, is_done) AS funded, sumIf(given, NOT is_done) AS announced, "
        "sumIf(taken, is_done) AS released, sumIf(taken, NOT is_done) AS waiting, funded - released AS balance FROM ("
        "SELECT payment_method, currency, amount AS given, toDecimal128(0, 4) AS taken, status = 'funded' AS is_done "
        f"FROM {database}.v_fundings WHERE status != 'cancelled' UNION ALL "
        "SELECT payment_method, currency, toDecimal128(0, 4), amount, status = 'released' "
        f"FROM {database}.v_release_summaries) "
        "GROUP BY payment_method, currency ORDER BY balance < 0 DESC, payment_method, currency LIMIT 1000"
    )


def funding_by_day(database: str, channel: str, currency: str) -> Query:
    """day, funded, released, balance at its end: by the day (UTC) on which the row got its present status."""
    return Query(
        "SELECT day, funded, released, sum(funded - released) OVER (ORDER BY day) AS balance FROM ("
        "SELECT day, sum(given) AS funded, sum(taken) AS released FROM ("
        "SELECT toDate(committed_at) AS day, amount AS given, toDecimal128(0, 4) AS taken "
        f"FROM {database}.v_fundings WHERE payment_method = {{channel:String}} AND currency = {{currency:String}} "
        "AND status = 'funded' UNION ALL "
        "SELECT toDate(committed_at), toDecimal128(0, 4), amount "
        f"FROM {database}.v_release_summaries WHERE payment_method = {{channel:String}} AND currency = {{currency:String}} "
        f"AND status = 'released') GROUP BY day) ORDER BY day DESC LIMIT {DAYS_MAX}",
        {"channel": channel, "currency": currency},
    )


def releases(database: str, channel: str = "", currency: str = "", release_id: str = "") -> Query:
    """Releases, those with open discrepancies first: upstream's count and amount beside ours."""
    given = {"channel": channel, "currency": currency, "release_id": release_id}
    bound = {name: value for name, value in given.items() if value}
    columns = {"channel": "payment_method", "currency": "currency", "release_id": "release_id"}
    where = " AND ".join(f"{columns[name]} = {{{name}:String}}" for name in bound) or "1"
    return Query(
        "SELECT release_id, payment_method, currency, status, upstream_count, upstream_amount, payout_count, payout_amount, "
        f"verdict, open_rules, last_committed_at FROM {database}.v_releases WHERE {where} "
        f"ORDER BY notEmpty(open_rules) DESC, last_committed_at DESC, release_id LIMIT {RELEASES_MAX}",
        bound,
    )


def release_payouts(database: str, release_id: str, rows_max: int, after: str = "") -> Query:
    """The live payouts that name a release as their channel's reference, by their id, at most `rows_max` + 1."""
    beyond, bound = behind_id("payout_id", after)
    return Query(
        "SELECT payout_id, statement_id, shop_id, payment_method, amount, currency, status, updated_at "
        f"FROM {database}.v_payouts WHERE channel_ref = {{reference:String}} {beyond}"
        "ORDER BY length(payout_id), payout_id LIMIT {rows:UInt32}",
        {**bound, "reference": f"R{release_id}", "rows": rows_max + 1},
    )


def payout_list(database: str, chosen: PayoutFilter, rows_max: int, after: str = "") -> Query:
    """Live payouts, the highest id first, at most `rows_max` + 1. Errors: ConfigurationError for a cursor that is none."""
    columns = {"channel": "payment_method", "status": "status", "currency": "currency", "seller": "shop_id"}
    bound: dict[str, Any] = {name: value for name, value in chosen._asdict().items() if value}
    conditions = [f"{columns[name]} = {{{name}:String}}" for name in bound]
    if after:
        conditions.append("(length(payout_id), payout_id) < (length({last_id:String}), {last_id:String})")
        bound["last_id"] = cursor_parts(after, len(LIST_KEYS))[0]
    return Query(
        "SELECT payout_id, statement_id, shop_id, payment_method, amount, currency, status, channel_ref, updated_at "
        f"FROM {database}.v_payouts WHERE {' AND '.join(conditions) or '1'} ORDER BY length(payout_id) DESC, payout_id DESC LIMIT {{rows:UInt32}}",
        {**bound, "rows": rows_max + 1},
    )


def payout(database: str, payout_id: str) -> Query:
    """The payout as upstream has it, with its place in Kafka; a row for each source that has one."""
    return Query(
        f"SELECT * FROM {database}.v_payouts WHERE payout_id = {{payout_id:String}} ORDER BY source LIMIT 10",
        {"payout_id": payout_id},
    )


def payout_total(database: str, payout_id: str) -> Query:
    """currency, lines, amount: the live lines of a payout added up."""
    return Query(
        f"SELECT currency, count() AS lines, sum(amount) AS total FROM {database}.v_payout_items "
        "WHERE payout_id = {payout_id:String} GROUP BY currency ORDER BY currency LIMIT 50",
        {"payout_id": payout_id},
    )


def payout_lines(database: str, payout_id: str, rows_max: int, after: str = "") -> Query:
    """Live lines of the payout by their id, at most `rows_max` + 1."""
    beyond, bound = behind_id("payout_item_id", after)
    return Query(
        "SELECT payout_item_id, order_id, billing_item_id, amount, currency, committed_at "
        f"FROM {database}.v_payout_items WHERE payout_id = {{payout_id:String}} {beyond}"
        "ORDER BY length(payout_item_id), payout_item_id LIMIT {rows:UInt32}",
        {**bound, "payout_id": payout_id, "rows": rows_max + 1},
    )
