"""A second site of the business, in a database of its own, that gives out some order ids which the first has given out too."""

from __future__ import annotations

from typing import Final

from psycopg2.extensions import connection as Connection  # noqa: N812  # a class, whatever its name looks like

from trueup.upstream.plan import Expectation, Fault
from trueup.upstream.truth import record_faults

SHARED_ID: Final = "one-id-from-two-shards"
OWN_FIRST: Final = 99_000_000_000
"""The site's other orders are numbered from here, where no run of the first site gets to."""

OWN_ORDERS: Final = 5

_TAKE: Final = (
    "INSERT INTO public.orders SELECT order_id, 1, 'USD', 10, 1, 1, NULL, 'cancelled', NULL, clock_timestamp()"
    " FROM unnest(%s::bigint[]) AS taken (order_id) ON CONFLICT (order_id) DO NOTHING"
)
_PLAIN: Final = (
    "SELECT order_id FROM public.orders AS plain WHERE status = 'completed' AND NOT EXISTS"
    " (SELECT 1 FROM truth.expected WHERE entity_id = plain.order_id::text) ORDER BY order_id LIMIT %s"
)


def plant_shared_ids(first: Connection, site: Connection, copies: int) -> int:
    """Let the second site take orders, `copies` of them under ids of completed orders of the first; returns how many.

    The site's orders are cancelled, so that nothing but the id is wrong. The truth is written to the first database.
    """
    with first, first.cursor() as cursor:
        cursor.execute(_PLAIN, (copies,))
        shared = [int(order_id) for (order_id,) in cursor.fetchall()]
        record_faults(
            cursor,
            [
                Fault(
                    f"{SHARED_ID}-{number}", SHARED_ID, "a second shard gave out the id of an order",
                    (Expectation("duplicate-id", "order", order_id),),
                )
                for number, order_id in enumerate(shared, start=1)
            ],
        )  # fmt: skip
    with site, site.cursor() as cursor:
        cursor.execute(_TAKE, ([*shared, *range(OWN_FIRST, OWN_FIRST + OWN_ORDERS)],))
    return len(shared)
