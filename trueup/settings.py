"""Settings of every part, read once: `trueup.toml` in the working directory, overridden by `TRUEUP_*` variables.

Nested names use two underscores in the environment, such as `TRUEUP_KAFKA__BOOTSTRAP`. Passwords may stand in files instead.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated, Any, Final, Literal, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, model_validator
from pydantic_settings import (
    BaseSettings,
    NestedSecretsSettingsSource,
    PydanticBaseSettingsSource,
    SecretsSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from trueup.model.errors import ConfigurationError
from trueup.model.money import EXPONENTS

Seconds = Annotated[float, Field(ge=0)]
Hours = Annotated[float, Field(ge=0, le=87_600)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


ReaderKind = Literal["replication", "poll", "debezium"]


class PollSettings(_Section):
    """How a database without replication is polled."""

    interval_seconds: Seconds = Field(60, description="from the start of one poll to the start of the next")
    overlap_seconds: Seconds = Field(
        300, description="how long before the newest time read so far a poll looks back, for transactions that end late"
    )
    compare_interval_seconds: Seconds = Field(
        3600, description="how often tables with a time column are compared whole; others are at every poll"
    )
    time_column: str = Field("updated_at", description="column that every change of a row sets anew")
    page_rows: int = Field(5000, ge=1, le=100_000, description="rows that are asked for at once")


class SourceSettings(_Section):
    """The settlement database that is read."""

    name: str = Field("settlement", description="name of the source; prefix of its topics", pattern=r"^[a-z0-9_.-]+$")
    kind: Literal["postgres", "mysql"] = Field("postgres", description="what it is; mysql stands for MariaDB too")
    host: str = "127.0.0.1"
    port: int = Field(5432, ge=1, le=65535)
    user: str = "trueup"
    password: SecretStr = SecretStr("")
    password_file: str = Field(
        "", description="file with the password, read for every connection; wins over `password`"
    )
    sslmode: Literal["disable", "allow", "prefer", "require", "verify-ca", "verify-full"] = Field(
        "prefer", description="TLS as libpq names it; `verify-full` checks the certificate and its host name"
    )
    sslrootcert: str = Field("", description="file of the authorities that sign the server's certificate, PEM")
    sslcert: str = Field("", description="file of the client's certificate, PEM")
    sslkey: str = Field("", description="file of its private key, PEM; readable by its owner alone")
    database: str = "settlement"
    schema_name: str = "public"
    slot: str = Field("trueup", pattern=r"^[a-z0-9_]+$")
    publication: str = Field("trueup", pattern=r"^[a-z0-9_]+$")
    reader: ReaderKind = Field(
        "replication",
        description="how changes are found: in the database's log, by polling its tables, or by Debezium in Kafka Connect",
    )
    poll: PollSettings = PollSettings()
    server_id: int = Field(
        0,
        ge=0,
        lt=2**32,
        description="MySQL and MariaDB: id of the reader among the server's replicas; 0 = one that follows from the name",
    )
    heartbeat_interval_seconds: Seconds = 0.1
    decimal_scale: int | None = Field(
        None,
        ge=0,
        le=38,
        description="digits behind the point of amounts that come as base64; empty = they come as text",
    )
    timestamp_unit: Literal["ms", "us", "ns"] = Field("us", description="unit of times that come as whole numbers")

    @model_validator(mode="before")
    @classmethod
    def _schema_of_mysql(cls, given: Any) -> Any:
        """MySQL has databases and no schemas below them: tables are named after the database."""
        if isinstance(given, dict) and given.get("kind") == "mysql":
            return {"schema_name": given.get("database", "settlement"), "port": 3306, **given}
        return given


class ConnectSettings(_Section):
    """Kafka Connect, where `source.reader` is debezium."""

    url: str = Field("http://127.0.0.1:8083", description="REST interface of any of its workers", pattern="^https?://")
    connector: str = Field("", description="name of the connector; empty = the name of the source")
    offsets_topic: str = Field("trueup-connect.offsets", description="offset.storage.topic of the Connect workers")
    password: str = Field(
        "${secrets:/run/secrets:postgres-password}",
        description="how the connector finds the source's password: the name of a secret, never the password",
        pattern=r"^\$\{[^{}]+\}$",
    )


class KafkaSettings(_Section):
    """The broker and the topics."""

    bootstrap: str = "127.0.0.1:9092"
    partitions: int = Field(8, ge=1, le=1024, description="partitions of every joined topic; never changed afterwards")
    replication_factor: int = Field(1, ge=1)
    group: str = "trueup"


class ClickHouseSettings(_Section):
    """The ClickHouse server, over HTTP."""

    host: str = "127.0.0.1"
    port: int = Field(8123, ge=1, le=65535)
    user: str = "trueup"
    password: SecretStr = SecretStr("")
    analyst_password: SecretStr = SecretStr("")
    database: str = Field("trueup", pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")


class StreamSettings(_Section):
    """Micro-batches and the durable window of a worker."""

    batch_max_records: int = Field(24_000, ge=1, description="records of one micro-batch")
    flush_interval_seconds: Seconds = Field(1.0, description="how often state becomes durable")
    flush_max_changes: int = Field(30_000, ge=1, description="changes held before state becomes durable early")
    cache_entities: int = Field(16_000, ge=0, description="decoded orders kept in memory per worker")
    rebuild_batch_rows: int = Field(5_000, ge=1)


class RuleSettings(_Section):
    """Tolerances of the rules."""

    grace_seconds: Seconds = Field(300, description="how long a leg may be late before it is called missing")
    stuck_seconds: dict[str, Seconds] = Field(
        default={
            "orders.created": 7 * 86_400,
            "orders.paid": 30 * 86_400,
            "billing_item.failed": 7 * 86_400,
            "statement.closed": 3 * 86_400,
            "statement.confirmed": 3 * 86_400,
            "statement.paying": 3 * 86_400,
            "payout.created": 86_400,
            "payout.ongoing": 86_400,
            "payout.failed": 86_400,
        },
        description="`table.status` → how long a row may stay in that status",
    )


class ChargingSettings(_Section):
    """Charging formulas."""

    spec: str = Field(
        "", description="charging spec by which orders are checked: a shipped name or a file; empty = none"
    )


def _checked_limits(limits: dict[str, str]) -> dict[str, str]:
    """Amounts by currency as people write them."""
    if DEFAULT_LIMIT not in limits:
        raise ValueError(f"a limit for {DEFAULT_LIMIT!r} is missing: it stands for every other currency")
    for currency, text in limits.items():
        if currency != DEFAULT_LIMIT and currency not in EXPONENTS:
            raise ValueError(f"{currency} is neither an ISO-4217 currency nor {DEFAULT_LIMIT!r}")
        if not re.fullmatch(r"\d{1,18}(\.\d{1,4})?", text):
            raise ValueError(f"{text[:40]!r} is no amount: write it as a text such as '1000' or '0.50'")
    return limits


DEFAULT_LIMIT: Final = "default"
Limits = Annotated[dict[str, str], AfterValidator(_checked_limits)]
Severity = Literal["low", "medium", "high", "critical"]
DiscrepancyClass = Literal["one-sided", "wrong-amount", "mismatch"]


class CaseSettings(_Section):
    """What an installation decides about cases. Amounts are in major units, as text, by currency."""

    waive_limit: Limits = Field(
        default={"default": "100"}, description="the highest amount that one person may waive alone"
    )
    severity: dict[Literal["medium", "high", "critical"], Limits] = Field(
        default={
            "medium": {"default": "10"},
            "high": {"default": "1000"},
            "critical": {"default": "100000"},
        },
        description="from which amount on a discrepancy is so severe",
    )
    severity_by_class: dict[DiscrepancyClass, Severity] = Field(
        default={"one-sided": "high", "wrong-amount": "medium", "mismatch": "medium"},
        description="where no amounts are compared",
    )
    due_hours: dict[Severity, Hours] = Field(
        default={"low": 168.0, "medium": 72.0, "high": 24.0, "critical": 4.0},
        description="from the raise to the due time",
    )

    @model_validator(mode="after")
    def _complete(self) -> CaseSettings:
        """A class or a severity that is left out would have no answer."""
        for name, held, known in (
            ("severity_by_class", self.severity_by_class, get_args(DiscrepancyClass)),
            ("due_hours", self.due_hours, get_args(Severity)),
        ):
            missing = sorted(set(known) - set(held))
            if missing:
                raise ValueError(f"{name} says nothing of {', '.join(missing)}")
        return self


class OidcSettings(_Section):
    """Sign-in by an OpenID Connect provider; without an issuer there is none."""

    issuer: str = Field("", description="address of the provider, as its tokens name it; empty = off")
    name: str = Field("", max_length=60, description="what the button calls it; empty = the issuer's host")
    client_id: str = ""
    client_secret_file: str = Field("", description="file with the client's secret; empty for a public client")
    scopes: str = "openid profile email"
    login_claim: str = Field("preferred_username", description="claim that a new account is called by")
    role_claim: str = Field("groups", description="claim that decides the role: a text or a list of texts")
    roles: dict[Literal["viewer", "operator", "approver", "admin"], list[str]] = Field(
        default={}, description="role → values of the claim that give it; the highest counts, none = no access"
    )


class DashboardSettings(_Section):
    """The dashboard: where it listens, how people sign in, and where it keeps accounts."""

    host: str = Field("127.0.0.1", description="address to listen on; others than loopback need TLS or a proxy")
    port: int = Field(0, ge=0, le=65535, description="0 = a free one, chosen once per data directory")
    database_url: SecretStr = Field(SecretStr(""), description="PostgreSQL for accounts and the like; empty = a file")
    authentication: bool = Field(True, description="off: everybody is an admin; on loopback only")
    certificate: str = Field("", description="file of the TLS certificate with its chain, PEM")
    certificate_key: str = Field("", description="file of its private key, PEM")
    public_names: list[str] = Field([], description="host names by which browsers reach it directly")
    proxy_origin: str = Field("", description="https origin of the reverse proxy in front")
    trusted_proxies: list[str] = Field(["127.0.0.1"], description="addresses whose X-Forwarded headers are believed")
    session_idle_minutes: int = Field(
        120, ge=1, le=43_200, description="a session ends after so long without a request"
    )
    session_hours: int = Field(12, ge=1, le=720, description="and after so long in any case")
    oidc: OidcSettings = OidcSettings()


class AlertSettings(_Section):
    """Alerts: where they are sent is declared in a file of their own."""

    file: str = Field("", description="path of the file of alerts; empty = off")


SECRETS_VARIABLE: Final = "TRUEUP_SECRETS_DIR"


def secret_files(settings_cls: type[BaseSettings]) -> tuple[PydanticBaseSettingsSource, ...]:
    """Settings from the folder that `TRUEUP_SECRETS_DIR` names, each in a file called as its variable; none without it.

    Files of other names are passed over. Errors: ConfigurationError when there is no such folder.
    """
    directory = os.environ.get(SECRETS_VARIABLE)
    if not directory:
        return ()
    if not Path(directory).is_dir():
        raise ConfigurationError(
            "the folder of secrets is not there",
            where=f"{SECRETS_VARIABLE} = {directory}",
            remedy="name the folder whose files are called TRUEUP_CLICKHOUSE__PASSWORD and the like",
        )
    return (NestedSecretsSettingsSource(SecretsSettingsSource(settings_cls), secrets_dir=directory),)


class Settings(BaseSettings):
    """Everything that can be set."""

    model_config = SettingsConfigDict(
        env_prefix="TRUEUP_", env_nested_delimiter="__", toml_file="trueup.toml", extra="forbid", frozen=True
    )

    data_dir: Path = Path(".trueup")
    metrics_host: str = Field("127.0.0.1", description="address on which processes serve metrics and readiness")
    source: SourceSettings = SourceSettings()
    connect: ConnectSettings = ConnectSettings()
    more_sources: list[SourceSettings] = Field(
        [], description="further databases with the same tables, such as shards or sites; each has a reader of its own"
    )
    kafka: KafkaSettings = KafkaSettings()
    clickhouse: ClickHouseSettings = ClickHouseSettings()
    streams: StreamSettings = StreamSettings()
    rules: RuleSettings = RuleSettings()
    charging: ChargingSettings = ChargingSettings()
    cases: CaseSettings = CaseSettings()
    dashboard: DashboardSettings = DashboardSettings()
    alerts: AlertSettings = AlertSettings()
    specs: list[str] = Field(
        ["settlement"], min_length=1, description="specs that are judged: names of shipped ones, or paths of files"
    )

    @property
    def sources(self) -> tuple[SourceSettings, ...]:
        """All databases that are read; users' own specs name tables of the first one."""
        return self.source, *self.more_sources

    def schema_of(self, source_name: str) -> str:
        """The schema of the tables of a source; that of the first one for a source that is not read any more."""
        return next((one.schema_name for one in self.sources if one.name == source_name), self.source.schema_name)

    @model_validator(mode="after")
    def _apart(self) -> Settings:
        """Two sources under one name, or on one slot, would be one."""
        taken: set[tuple[object, ...]] = set()
        for source in self.sources:
            for place in (("name", source.name), ("slot", source.host, source.port, source.slot)):
                if place in taken and (
                    place[0] == "name" or (source.kind, source.reader) == ("postgres", "replication")
                ):
                    raise ValueError(f"two sources have the {place[0]} {place[-1]}: give one of them another")
                taken.add(place)
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments win over the environment, the environment over secret files, and these over `trueup.toml`."""
        return init_settings, env_settings, *secret_files(settings_cls), TomlConfigSettingsSource(settings_cls)
