"""Makes what trueup needs on services that run already: topics, tables, users that only read, and the reference schema."""

from __future__ import annotations

import contextlib

import psycopg2

from cdc.postgres_source import address_of, conninfo_of
from cdc.topics import ensure_topics
from clickhouse.client import connect
from clickhouse.migrate import migrate
from clickhouse.reading_users import make_analyst, make_dashboard_user
from trueup.model.errors import UnavailableError
from trueup.settings import Settings, SourceSettings
from trueup.upstream import schema
from trueup.user_specs import planned_topics, read_user_specs


def prepare_services(settings: Settings, dashboard_password: str, analyst_password: str) -> None:
    """Make the topics and tables that are missing, and the users whose passwords are given; repeating it changes nothing.

    Errors: ConfigurationError or UnavailableError naming the service.
    """
    ensure_topics(settings.kafka.bootstrap, planned_topics(settings, read_user_specs(settings)))
    database = settings.clickhouse.database
    with contextlib.closing(connect(settings.clickhouse)) as client:
        migrate(client, database)
        if dashboard_password:
            make_dashboard_user(client, database, dashboard_password)
        if analyst_password:
            make_analyst(client, database, analyst_password)


def prepare_reference_schema(source: SourceSettings) -> None:
    """Make the tables of the reference settlement system in the source database. Errors: UnavailableError."""
    try:
        connection = psycopg2.connect(conninfo_of(source))
        with contextlib.closing(connection):
            schema.create(connection)
    except psycopg2.OperationalError as error:
        raise UnavailableError(f"the source does not answer: {error}", where=address_of(source)) from error
