"""The decoder of a table's topic, as the settings describe the source that writes it."""

from __future__ import annotations

from cdc.decode import ChangeDecoder
from cdc.dialect import declared_dialect
from trueup.model.tables import Table
from trueup.settings import SourceSettings


def source_decoder(source: SourceSettings, table: Table) -> ChangeDecoder:
    """A decoder that knows how the source writes amounts and times in messages without a schema."""
    return ChangeDecoder(table, declared_dialect(table, source.decimal_scale, source.timestamp_unit))
