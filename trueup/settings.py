"""Settings of every part, read once: `trueup.toml` in the working directory, overridden by `TRUEUP_*` variables.

Nested names use two underscores in the environment, such as `TRUEUP_KAFKA__BOOTSTRAP`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, SecretStr
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

Seconds = Annotated[float, Field(ge=0)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SourceSettings(_Section):
    """The settlement database that is read."""

    name: str = Field("settlement", description="name of the source; prefix of its topics", pattern=r"^[a-z0-9_.-]+$")
    host: str = "127.0.0.1"
    port: int = Field(5432, ge=1, le=65535)
    user: str = "trueup"
    password: SecretStr = SecretStr("")
    database: str = "settlement"
    schema_name: str = "public"
    slot: str = Field("trueup", pattern=r"^[a-z0-9_]+$")
    publication: str = Field("trueup", pattern=r"^[a-z0-9_]+$")
    heartbeat_interval_seconds: Seconds = 0.1


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

    batch_max_records: int = Field(8000, ge=1, description="records of one micro-batch")
    flush_interval_seconds: Seconds = Field(1.0, description="how often state becomes durable")
    flush_max_changes: int = Field(40_000, ge=1, description="changes held before state becomes durable early")
    cache_entities: int = Field(16_000, ge=0, description="decoded orders kept in memory per worker")
    rebuild_batch_rows: int = Field(20_000, ge=1)


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


class Settings(BaseSettings):
    """Everything that can be set."""

    model_config = SettingsConfigDict(
        env_prefix="TRUEUP_", env_nested_delimiter="__", toml_file="trueup.toml", extra="forbid", frozen=True
    )

    data_dir: Path = Path(".trueup")
    source: SourceSettings = SourceSettings()
    kafka: KafkaSettings = KafkaSettings()
    clickhouse: ClickHouseSettings = ClickHouseSettings()
    streams: StreamSettings = StreamSettings()
    rules: RuleSettings = RuleSettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments win over the environment, the environment over `trueup.toml`."""
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)
