"""What was agreed with a seller over time: the changes of the account and of its payout rule, which Kafka keeps for good."""

from __future__ import annotations

from cdc.delivery import end_offsets
from cdc.source_tables import settlement_topics
from trueup.change_events import SECONDS_MAX, Changes, key_of, read_changes
from trueup.model.tables import ACCOUNT, RULE
from trueup.settings import Settings


def agreement_events(settings: Settings, shop_id: str, rule_id: str, *, seconds_max: float = SECONDS_MAX) -> Changes:
    """Changes of the seller's account and of the payout rule that it has now, in time order.

    `rule_id` is "" where the seller has none. Errors: UnavailableError when the broker does not answer.
    """
    topics = [topic for topic, (_, table) in settlement_topics(settings.sources).items() if table in (ACCOUNT, RULE)]
    ends = {
        (topic, number): end
        for topic, offsets in end_offsets(settings.kafka.bootstrap, topics).items()
        for number, end in enumerate(offsets)
    }
    keys = {key_of("shop_id", shop_id), *([key_of("rule_id", rule_id)] if rule_id else [])}
    return read_changes(settings.kafka.bootstrap, ends, keys, seconds_max=seconds_max)
