"""Filters that a person keeps under a name, as the query part of a page's address."""

from __future__ import annotations

from typing import Final, NamedTuple

from sqlalchemy import Column, Delete, Engine, String, Table, Text, delete, insert, select

from dashboards.store import METADATA, reads
from trueup.model.errors import ConfigurationError

PER_ACCOUNT_MAX: Final = 50
NAME_CHARS_MAX: Final = 80
QUERY_CHARS_MAX: Final = 4_000

SAVED_FILTER: Final = Table(
    "saved_filter",
    METADATA,
    Column("login", String(64), primary_key=True),
    Column("name", String(NAME_CHARS_MAX), primary_key=True),
    Column("query", Text, nullable=False),
)
"""No foreign key: where authentication is off, the account `local` is in no table."""


class SavedFilter(NamedTuple):
    """A name and the query part of an address, without the question mark."""

    name: str
    query: str


class SavedFilters:
    """The saved filters of all accounts."""

    def __init__(self, store: Engine) -> None:
        self._store = store

    def all_of(self, login: str) -> list[SavedFilter]:
        """Those of an account, by name."""
        query = (
            select(SAVED_FILTER.c.name, SAVED_FILTER.c.query)
            .where(SAVED_FILTER.c.login == login)
            .order_by(SAVED_FILTER.c.name)
        )
        with reads(self._store).begin() as connection:
            return [SavedFilter(*row) for row in connection.execute(query)]

    def keep(self, login: str, name: str, query: str) -> None:
        """Keep a filter; one of the same name is replaced. Errors: ConfigurationError."""
        name = " ".join(name.split())
        if not name or len(name) > NAME_CHARS_MAX or not name.isprintable():
            raise ConfigurationError(
                "a filter needs a name", where="name", remedy=f"give one of at most {NAME_CHARS_MAX} characters"
            )
        if len(query) > QUERY_CHARS_MAX:
            raise ConfigurationError("the filter is too long to be kept", where=name, remedy="name fewer values")
        with self._store.begin() as connection:
            connection.execute(_those_of(login, name))
            held = connection.scalars(select(SAVED_FILTER.c.name).where(SAVED_FILTER.c.login == login)).all()
            if len(held) >= PER_ACCOUNT_MAX:
                raise ConfigurationError(
                    f"{PER_ACCOUNT_MAX} filters are kept already", where=name, remedy="remove one first"
                )
            connection.execute(insert(SAVED_FILTER).values(login=login, name=name, query=query))

    def remove(self, login: str, name: str) -> None:
        """Forget a filter, if there is one."""
        with self._store.begin() as connection:
            connection.execute(_those_of(login, name))


def _those_of(login: str, name: str) -> Delete:
    return delete(SAVED_FILTER).where(SAVED_FILTER.c.login == login, SAVED_FILTER.c.name == name)
