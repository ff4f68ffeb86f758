"""What the decoder refuses, and with which code: the messages that the end-to-end test sends to the real topics."""

from __future__ import annotations

import pytest

from cdc.decode import ChangeDecoder
from tests.e2e.bad_messages import BadMessage, bad_messages
from trueup.model.errors import InvalidRecord
from trueup.model.tables import TABLES


@pytest.mark.parametrize("message", bad_messages(), ids=lambda message: f"{message.table}-{message.code}")
def test_a_bad_message_is_refused_with_its_reason(message: BadMessage) -> None:
    with pytest.raises(InvalidRecord) as refusal:
        ChangeDecoder(TABLES[message.table]).decode(message.value, 0, 0)
    assert refusal.value.code == message.code
    assert 0 < len(refusal.value.what) < 300


@pytest.mark.parametrize("table", sorted(TABLES))
def test_a_tombstone_says_nothing(table: str) -> None:
    assert ChangeDecoder(TABLES[table]).decode(None, 0, 0) is None
