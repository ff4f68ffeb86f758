"""Business that the tests put into the source: orders that are billed wrongly, and messages that cannot be read."""

from __future__ import annotations

import itertools
from typing import NamedTuple

import orjson
from confluent_kafka import Producer

from cdc.topics import source_topic
from tests.browser.site import PATIENCE_SECONDS, Site, wait_until
from tests.e2e.bad_messages import ORDER, envelope

RULE = "wrong-billing-amount"
NO_STATEMENT = 799_000_000
"""Named by items, but never comes."""

_ORDER = "INSERT INTO orders VALUES ({id}, {seller}, '{currency}', {gross}, 0, 0, NULL, 'completed', now(), now())"
_ITEM = (
    "INSERT INTO billing_item VALUES ({id}, {id}, {seller}, {statement}, 'sale', '1', {billed}, '{currency}', "
    "'statemented', now(), now())"
)
_STATEMENT = (
    "INSERT INTO statement VALUES ({id}, {seller}, 'daily', current_date, current_date, 'USD', 0, 0, 'open', "
    "NULL, now())"
)
_numbers = itertools.count(810_000_001)
_sellers = itertools.count(9_001)


class WrongOrder(NamedTuple):
    """An order whose billing item has another amount than it should; every call has a seller of its own."""

    order: int
    seller: int
    discrepancy: str

    @property
    def list_path(self) -> str:
        """The list of the discrepancies of this rule about this seller."""
        return f"/discrepancies?rule={RULE}&seller={self.seller}"


def commit_order(
    site: Site, *, seller: int, gross: str, billed: str, statement: int = NO_STATEMENT, currency: str = "USD"
) -> int:
    """A completed order and its billing item, committed together; the order's number."""
    number = next(_numbers)
    fields = {"id": number, "seller": seller, "statement": statement, "currency": currency}
    with site.rig.source() as connection, connection, connection.cursor() as cursor:
        cursor.execute(_ORDER.format(gross=gross, **fields) + ";" + _ITEM.format(billed=billed, **fields))
    return number


def wrong_orders(site: Site, count: int = 1, *, gross: str = "100", billed: str = "130") -> list[WrongOrder]:
    """Orders of one seller that are billed wrongly, as soon as their discrepancies can be seen."""
    seller = next(_sellers)
    numbers = [commit_order(site, seller=seller, gross=gross, billed=billed) for _ in range(count)]
    statement = f"SELECT order_id, discrepancy_id FROM {{db}}.v_cases WHERE rule = '{RULE}' AND shop_id = '{seller}'"
    wait_until("the orders are raised", lambda: len(site.rig.query(statement)) == count)
    found = {int(str(order)): str(identifier) for order, identifier in site.rig.query(statement)}
    # The judge's own rows come with another stage's window, which may close later.
    ids = ", ".join(f"'{identifier}'" for identifier in found.values())
    judged = f"SELECT count() FROM {{db}}.v_discrepancies WHERE discrepancy_id IN ({ids})"
    wait_until("the judge's rows are there", lambda: site.value(judged) == count)
    return [WrongOrder(number, seller, found[number]) for number in numbers]


def refused_message(site: Site) -> str:
    """A new order whose column shop_id came as shopId; the address of its page in the quarantine."""
    number = next(_numbers)
    source = site.rig.settings.source
    topic = source_topic(source.name, source.schema_name, "orders")
    row = {**{name: held for name, held in ORDER.items() if name != "shop_id"}, "order_id": number, "shopId": 7}
    producer = Producer({"bootstrap.servers": site.rig.settings.kafka.bootstrap, "partitioner": "murmur2_random"})
    producer.produce(topic, orjson.dumps(envelope(row)), orjson.dumps({"order_id": number}))
    assert producer.flush(PATIENCE_SECONDS) == 0
    statement = (
        "SELECT kafka_partition, kafka_offset FROM {db}.quarantine FINAL "
        f"WHERE topic = '{topic}' AND JSONExtractInt(key, 'order_id') = {number}"
    )
    wait_until("the message is refused", lambda: site.rig.query(statement))
    ((partition, offset),) = site.rig.query(statement)
    return f"/quarantine/message?topic={topic}&partition={partition}&offset={offset}"


def open_statement(site: Site) -> tuple[int, int]:
    """A statement that is open and has no items yet, and its seller."""
    number, seller = next(_numbers), next(_sellers)
    with site.rig.source() as connection, connection, connection.cursor() as cursor:
        cursor.execute(_STATEMENT.format(id=number, seller=seller))
    return number, seller
