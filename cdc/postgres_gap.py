"""Whether streaming can go on from the slot that is there, and what was missed if it cannot."""

from __future__ import annotations

from typing import Final

import structlog

from cdc.counters import Gap
from cdc.postgres_slot import Slot, find_slot, remove_slot
from cdc.postgres_snapshot import still_valid
from cdc.postgres_source import Connection
from cdc.postgres_state import Progress, ReaderState, SnapshotMark, write_mark
from cdc.publishing import Publishing
from cdc.replication import ReplicationConnection
from trueup.settings import SourceSettings

NO_SLOT: Final = ""

_log = structlog.get_logger()


def usable_mark(
    connection: Connection, replication: ReplicationConnection, publishing: Publishing, state: ReaderState
) -> SnapshotMark | None:
    """The mark of the slot that streaming can go on from; None when everything is to be copied, and the slot is gone then.

    A mark without a usable slot says that log was not read: that is told as a gap.
    """
    source, counters = publishing.source, publishing.counters
    slot = find_slot(connection, source)
    mark, system_id = state.mark, replication.system_id()
    if slot is not None and not slot.lost and still_valid(mark, source, system_id, slot.confirmed_lsn):
        return mark
    if mark is not None:
        gap = _gap(slot, mark, state.progress, system_id, source)
        counters.found_gap(gap)
        _log.error("gap_found", reason=gap.reason, from_lsn=gap.from_lsn, from_us=gap.from_us)
    if slot is not None:
        _log.warning("slot_unusable", slot=source.slot, lost=slot.lost, snapshot_marked=mark is not None)
        remove_slot(connection, source)
    if mark is not None:
        # Of no slot from now on: else a new slot would pass for the old one if this ends before all is copied.
        write_mark(publishing.producer, source.name, mark._replace(slot=NO_SLOT))
    return None


def _gap(
    slot: Slot | None, mark: SnapshotMark, progress: Progress | None, system_id: str, source: SourceSettings
) -> Gap:
    if mark.slot == NO_SLOT:
        reason = "the copy that makes up for lost log was not completed"
    elif mark.system_id != system_id:
        reason = "the source is another server"
    elif mark.slot != source.slot:
        reason = f"the slot is {source.slot}, no longer {mark.slot}"
    elif slot is None:
        reason = f"the slot {source.slot} is gone"
    elif slot.lost:
        reason = f"the server has thrown away log that the slot {source.slot} needed"
    else:
        reason = f"the slot {source.slot} was made anew"
    known = max(mark.consistent_lsn, progress.lsn if progress else 0)
    if slot is not None and slot.lost and mark.system_id == system_id:
        known = max(known, slot.confirmed_lsn)
    return Gap(reason, known, progress.time_us if progress else 0)
