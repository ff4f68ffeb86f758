"""Checks that tell when a service answers: each returns False while it does not, within a second or two."""

from __future__ import annotations

import http.client
import socket
import urllib.error
import urllib.request
from collections.abc import Callable, Collection

import orjson
import psycopg2
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

CHECK_TIMEOUT_SECONDS = 1
HTTP_OK = 200


def always_ready() -> bool:
    """For a process that counts as ready as soon as it runs."""
    return True


def http_answers(url: str) -> Callable[[], bool]:
    """Ready when GET `url` answers 200, such as ClickHouse's `/ping`."""

    def ready() -> bool:
        try:
            with urllib.request.urlopen(url, timeout=CHECK_TIMEOUT_SECONDS) as response:
                return bool(response.status == HTTP_OK)
        except (OSError, http.client.HTTPException):
            return False

    return ready


def has_parts(url: str, names: Collection[str]) -> Callable[[], bool]:
    """Ready when the process whose `/readyz` is at `url` says so of these parts, whatever else it lacks."""

    def ready() -> bool:
        try:
            with urllib.request.urlopen(url, timeout=CHECK_TIMEOUT_SECONDS) as response:
                answer = response.read()
        except urllib.error.HTTPError as error:
            answer = error.read()
        except (OSError, http.client.HTTPException):
            return False
        try:
            parts = orjson.loads(answer)["parts"]
            return all(parts[name]["ready"] for name in names)
        except (ValueError, KeyError, TypeError):
            return False

    return ready


def port_accepts(port: int) -> Callable[[], bool]:
    """Ready when something accepts connections on this port of 127.0.0.1."""

    def ready() -> bool:
        try:
            with socket.create_connection(("127.0.0.1", port), CHECK_TIMEOUT_SECONDS):
                return True
        except OSError:
            return False

    return ready


def postgres_accepts(dsn: str) -> Callable[[], bool]:
    """Ready when Postgres accepts a connection with this libpq connection string and answers a query."""

    def ready() -> bool:
        try:
            session = psycopg2.connect(dsn, connect_timeout=CHECK_TIMEOUT_SECONDS)
        except psycopg2.OperationalError:
            return False
        try:
            with session.cursor() as cursor:
                cursor.execute("SELECT 1")
        except psycopg2.Error:
            return False
        finally:
            session.close()
        return True

    return ready


def kafka_answers(bootstrap: str) -> Callable[[], bool]:
    """Ready when a broker at `bootstrap` (host:port) answers a metadata request and names itself."""

    def ready() -> bool:
        # log_level 0: a refused connection is expected here and no news.
        admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0, "socket.timeout.ms": 1000})
        try:
            return len(admin.list_topics(timeout=CHECK_TIMEOUT_SECONDS).brokers) > 0
        except KafkaException:
            return False

    return ready
