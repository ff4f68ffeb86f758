"""The reference tables with their history: which version of a row was in force at a moment. Pure.

A statement is judged by the terms of its time, so a later change of a rule judges nothing anew. Versions are a set by
source and log position: the same in whatever order, and however often, they are taken.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import Any, Final, NamedTuple

from trueup.model.change import Change, Truncation
from trueup.model.registers import Register
from trueup.model.releases import Channel
from trueup.model.tables import ROW_TYPES, Account, Funding, Id, PayoutRule, Release

SECOND_US: Final = 1_000_000


class Terms(NamedTuple):
    """What was agreed with a seller at a moment: the account, and the payout rule that it names."""

    account: Register[Account]
    rule: Register[PayoutRule]


class ReferenceBooks:
    """All versions of all rows of the reference tables of all sources.

    Versions of a row are in the order of the source's log. A version that the first copy of a source brought (see
    `take`) tells what the row was then, but not since when.
    """

    def __init__(self) -> None:
        self._rows: dict[tuple[str, str, Id], list[Register[Any]]] = {}
        self._of_channel: dict[tuple[str, str, Channel], set[Id]] = {}
        self._copied: set[tuple[str, int]] = set()
        self._truncated: dict[tuple[str, str], dict[int, Truncation]] = {}

    def take(self, change: Change, *, copied: bool) -> bool:
        """Add one version; whether it was new. `copied` tells that it comes from a first copy of the source."""
        if copied:
            # All rows of one copy carry one version, which no streamed change has.
            self._copied.add((change.source, change.version))
        versions = self._rows.setdefault((change.table.name, change.source, change.primary_key), [])
        row = None if change.row is None else ROW_TYPES[change.table.name]._make(change.row)
        register = Register(
            change.source, change.primary_key, change.version, change.commit_us, change.commit_us, change.deleted,
            row, change.partition, change.offset,
        )  # fmt: skip
        if not _insert(versions, register):
            return False
        for truncation in self._truncated.get((change.table.name, change.source), {}).values():
            _end(versions, truncation)
        if isinstance(row, (Funding, Release)):
            channel = Channel(row.payment_method, row.currency)
            self._of_channel.setdefault((change.table.name, change.source, channel), set()).add(change.primary_key)
        return True

    def truncate(self, truncation: Truncation) -> None:
        """End every row of the table that has an older version, also rows that are taken later; in any order, any number of times."""
        place = truncation.table.name, truncation.source
        if truncation.version in self._truncated.setdefault(place, {}):
            return
        self._truncated[place][truncation.version] = truncation
        for (table, source, _), versions in self._rows.items():
            if (table, source) == place:
                _end(versions, truncation)

    def as_of(self, table: str, source: str, primary_key: Id, at_us: int) -> Register[Any] | None:
        """The version of a row that was in force at `at_us` (µs since the epoch), None if it did not exist then."""
        for register in reversed(self._rows.get((table, source, primary_key), ())):
            if register.commit_us <= at_us:
                return None if register.deleted else register
        return None

    def versions(self, table: str, source: str, primary_key: Id) -> list[Register[Any]]:
        """All versions of a row, oldest first; deletions are left out."""
        return [held for held in self._rows.get((table, source, primary_key), ()) if not held.deleted]

    def terms(self, source: str, shop_id: Id, at_us: int) -> Terms | None:
        """What was agreed with a seller at `at_us`; None where it is not known.

        Not known: there was no account or no rule, or all that is known of the time is the first copy of the source, which
        cannot tell what was agreed when a row that it copied as well was made.
        """
        account = self.as_of("account", source, shop_id, at_us)
        agreed = None if account is None else account.row
        rule = None if agreed is None else self.as_of("rule", source, agreed.rule_id, at_us)
        if account is None or rule is None or self._copied_at(account, at_us) or self._copied_at(rule, at_us):
            return None
        return Terms(account, rule)

    def _copied_at(self, register: Register[Any], at_us: int) -> bool:
        return at_us <= register.commit_us and self.is_copied(register)

    def is_copied(self, register: Register[Any]) -> bool:
        """Whether the version was brought by a first copy, so that nobody knows since when it was in force."""
        return (register.source, register.version) in self._copied

    def amount_minor(self, table: str, channel: Channel, status: str, moment: Register[Any]) -> int:
        """Σ of the rows of a channel that were in a status when `moment` was committed to the same source.

        In minor units of the channel's currency.
        """
        amount_minor = 0
        for primary_key in self._of_channel.get((table, moment.source, channel), ()):
            versions = self._rows[table, moment.source, primary_key]
            register = next((held for held in reversed(versions) if not _comes_after(held, moment)), None)
            row = None if register is None else register.row
            # A row may have been in another channel then.
            if row is not None and row.status == status and (row.payment_method, row.currency) == channel:
                amount_minor += row.amount_minor
        return amount_minor

    def first_in(self, table: str, source: str, primary_key: Id, status: str) -> Register[Any] | None:
        """The first version of a row that was in a status; None if it never was."""
        versions = self._rows.get((table, source, primary_key), ())
        for register in versions:
            if not register.deleted and register.row is not None and register.row.status == status:
                return register
        return None


def _insert(versions: list[Register[Any]], register: Register[Any]) -> bool:
    """Put a version in its place, unless it is there; whether it was new."""
    place = bisect_left(versions, register.version, key=_version)
    if place < len(versions) and versions[place].version == register.version:
        return False
    versions.insert(place, register)
    return True


def _end(versions: list[Register[Any]], truncation: Truncation) -> None:
    """A row ends with a truncation of its table if it had been there before."""
    first = versions[0]
    if first.version < truncation.version:
        ended = first._replace(
            version=truncation.version, commit_us=truncation.commit_us, first_us=truncation.commit_us, deleted=True,
            row=None, partition=truncation.partition, offset=truncation.offset,
        )  # fmt: skip
        _insert(versions, ended)


def _comes_after(register: Register[Any], moment: Register[Any]) -> bool:
    """Whether a version was committed after another one of its source.

    One time is one transaction, all of which happens at once. But a binlog has whole seconds: within one, its order counts.
    """
    if register.commit_us != moment.commit_us:
        return register.commit_us > moment.commit_us
    return moment.commit_us % SECOND_US == 0 and register.version > moment.version


def _version(register: Register[Any]) -> int:
    return register.version
