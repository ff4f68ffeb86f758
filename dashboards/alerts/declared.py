"""The shape of the file of alerts, as pydantic checks it: targets, working hours, channels, routes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, time
from decimal import Decimal
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated, Any, Final, Literal
from zoneinfo import ZoneInfo, available_timezones

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from reconcile.cases.policy import DEFAULT
from trueup.model.money import EXPONENTS

_UNITS_US: Final = {"s": 1_000_000, "m": 60_000_000, "h": 3_600_000_000, "d": 86_400_000_000}
_DURATION: Final = re.compile(r"(\d{1,6})([smhd])")
_HOST: Final = re.compile(r"(?:[a-z0-9_](?:[a-z0-9_.-]*[a-z0-9_])?|\[[0-9a-f:.]+\])(?::\d{1,5})?")
_ADDRESS: Final = re.compile(r"[^\s@<>,;:\"]+@[^\s@<>,;:\"]+")
_AMOUNT: Final = re.compile(r"\d{1,18}(\.\d{1,4})?")
DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def read_duration_us(value: object) -> int:
    """µs of a text such as `30s`, `15m`, `4h` or `7d`. Errors: ValueError."""
    found = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise ValueError("write a whole number and a unit, such as '30s', '15m', '4h' or '7d'")
    return int(found[1]) * _UNITS_US[found[2]]


def _host(value: str) -> str:
    if not _HOST.fullmatch(value.lower()):
        raise ValueError(
            f"{value[:80]!r} is no host name; write it without https:// and path, with :PORT if it is not 443"
        )
    return value.lower()


def _network(value: object) -> IPv4Network | IPv6Network:
    try:
        return ip_network(str(value))
    except ValueError as error:
        raise ValueError(f"{error}; write an address such as 10.1.2.3 or a network such as 10.1.0.0/16") from None


def _zone(value: object) -> ZoneInfo:
    if value not in available_timezones():
        raise ValueError(f"{str(value)[:60]!r} is no IANA time zone; write one such as 'Asia/Shanghai'")
    return ZoneInfo(str(value))


def _amounts(held: Mapping[str, Any]) -> dict[str, Decimal]:
    for currency, text in held.items():
        if currency != DEFAULT and currency not in EXPONENTS:
            raise ValueError(f"{currency[:20]} is neither an ISO-4217 currency nor {DEFAULT!r}")
        if not isinstance(text, str) or not _AMOUNT.fullmatch(text):
            raise ValueError(f"{str(text)[:40]!r} is no amount: write it as a text such as '1000' or '0.50'")
    return {currency: Decimal(text) for currency, text in held.items()}


def _mailbox(value: str) -> str:
    if not _ADDRESS.fullmatch(value) or not value.isascii():
        raise ValueError(f"{value[:80]!r} is no plain e-mail address such as ops@example.com")
    return value


Duration = Annotated[int, BeforeValidator(read_duration_us), Field(ge=1_000_000)]
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,39}$")]
Host = Annotated[str, AfterValidator(_host)]
Network = Annotated[IPv4Network | IPv6Network, BeforeValidator(_network)]
Amounts = Annotated[dict[str, Decimal], BeforeValidator(_amounts), Field(min_length=1)]
Mailbox = Annotated[str, AfterValidator(_mailbox)]
Severity = Literal["low", "medium", "high", "critical"]
Language = Literal["en", "zh"]
Texts = Annotated[list[str], Field(min_length=1)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)


class DeclaredTargets(_Part):
    """Whom alerts may reach at all."""

    hosts: Annotated[list[Host], Field(min_length=1)]
    allow_private: list[Network] = []


class DeclaredHours(_Part):
    """When people work."""

    zone: Annotated[ZoneInfo, BeforeValidator(_zone)]
    days: Annotated[list[Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]], Field(min_length=1)]
    begins: time
    ends: time
    holidays: Annotated[list[date], Field(max_length=1000)] = []

    @field_validator("begins", "ends")
    @classmethod
    def _local(cls, value: time) -> time:
        if value.tzinfo is not None:
            raise ValueError("times stand in `zone` and carry no zone themselves")
        return value

    @field_validator("ends")
    @classmethod
    def _in_order(cls, value: time, info: ValidationInfo) -> time:
        if "begins" in info.data and info.data["begins"] >= value:
            raise ValueError("`ends` must come after `begins`, both on one day")
        return value


class DeclaredLimits(_Part):
    """The most messages that a channel takes."""

    per_second: Annotated[int, Field(ge=1, le=1000)] | None = None
    per_minute: Annotated[int, Field(ge=1, le=60_000)] | None = None


class _Channel(_Part):
    name: Name
    digest_above: Annotated[int, Field(ge=1, le=10_000)] = 10
    digest_within: Duration = read_duration_us("1m")
    digest_every: Duration = read_duration_us("5m")


class _HttpChannel(_Channel):
    url_file: str | None = None
    url_env: str | None = None
    secret_file: str | None = None
    secret_env: str | None = None

    @model_validator(mode="after")
    def _one_url(self) -> _HttpChannel:
        if (self.url_file is None) == (self.url_env is None):
            raise ValueError("give the address by one of `url_file` and `url_env`: it is a secret")
        if self.secret_file is not None and self.secret_env is not None:
            raise ValueError("give the secret by one of `secret_file` and `secret_env`")
        return self


class DeclaredWebhook(_HttpChannel):
    """A service of one's own, to which alerts are sent signed."""

    kind: Literal["webhook"]
    limits: DeclaredLimits = DeclaredLimits(per_second=5)

    @model_validator(mode="after")
    def _signed(self) -> DeclaredWebhook:
        if self.secret_file is None and self.secret_env is None:
            raise ValueError("a webhook is signed: give `secret_file` or `secret_env`")
        return self


class DeclaredSlack(_HttpChannel):
    """An incoming webhook of Slack; its address is all that it needs."""

    kind: Literal["slack"]


class DeclaredFeishu(_HttpChannel):
    """A custom bot of Feishu or Lark."""

    kind: Literal["feishu"]


class DeclaredDingTalk(_HttpChannel):
    """A custom robot of DingTalk."""

    kind: Literal["dingtalk"]


class DeclaredEmail(_Channel):
    """A mail server that takes messages for a few people."""

    kind: Literal["email"]
    host: Annotated[str, AfterValidator(_host)]
    port: Annotated[int, Field(ge=1, le=65535)] = 587
    security: Literal["starttls", "tls", "none"] = "starttls"
    user: str = ""
    password_file: str | None = None
    password_env: str | None = None
    sender: Mailbox
    to: Annotated[list[Mailbox], Field(min_length=1, max_length=50)]
    limits: DeclaredLimits = DeclaredLimits(per_minute=30)

    @model_validator(mode="after")
    def _password(self) -> DeclaredEmail:
        given = [held for held in (self.password_file, self.password_env) if held is not None]
        if len(given) != (1 if self.user else 0):
            raise ValueError(
                "a `user` needs one of `password_file` and `password_env`, and no password goes without it"
            )
        if ":" in self.host:
            raise ValueError("write the port of the mail server as `port`")
        return self


DeclaredChannel = Annotated[
    DeclaredWebhook | DeclaredSlack | DeclaredFeishu | DeclaredDingTalk | DeclaredEmail, Field(discriminator="kind")
]


class DeclaredRoute(_Part):
    """Which discrepancies go where; what is left out does not restrict."""

    name: Name
    channels: Annotated[list[Name], Field(min_length=1, max_length=20)]
    rules: Texts | None = None
    classes: Annotated[list[Literal["one-sided", "wrong-amount", "mismatch"]], Field(min_length=1)] | None = None
    sellers: Texts | None = None
    currencies: Texts | None = None
    amount_from: Amounts | None = None
    severity_from: Severity = "low"
    directions: Annotated[list[Literal["short", "long"]], Field(min_length=1)] | None = None
    hours: Name | None = None
    outside_critical: Name | None = None
    remind: Annotated[list[Duration], Field(max_length=20)] = []
    tell_resolved: bool = True
    language: Language = "en"


class DeclaredAlerts(_Part):
    """A whole file."""

    base_url: Annotated[str, Field(pattern=r"^https?://[^\s?#]+$")]
    match: Literal["first", "all"]
    targets: DeclaredTargets
    hours: dict[Name, DeclaredHours] = {}
    channels: Annotated[list[DeclaredChannel], Field(alias="channel", min_length=1, max_length=50)]
    routes: Annotated[list[DeclaredRoute], Field(alias="route", min_length=1, max_length=200)]
