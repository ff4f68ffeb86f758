"""Secrets of channels: addresses and keys, from files or the environment, never from the file of alerts itself."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from pydantic import SecretStr

from dashboards.alerts.declared import DeclaredChannel, DeclaredEmail
from trueup.model.errors import ConfigurationError

BYTES_MAX = 10_000


class ChannelSecrets(NamedTuple):
    """`url` is empty for mail; `key` signs, or is the password of the mail server; empty where there is none."""

    url: SecretStr
    key: SecretStr


def read_secrets(channel: DeclaredChannel, environment: Mapping[str, str]) -> ChannelSecrets:
    """The secrets of a channel. Errors: ConfigurationError naming the channel and the place, never the secret."""
    if isinstance(channel, DeclaredEmail):
        key = _read(channel.name, channel.password_file, channel.password_env, environment)
        return ChannelSecrets(SecretStr(""), SecretStr(key))
    url = _read(channel.name, channel.url_file, channel.url_env, environment)
    return ChannelSecrets(
        SecretStr(url), SecretStr(_read(channel.name, channel.secret_file, channel.secret_env, environment))
    )


def _read(channel: str, file: str | None, variable: str | None, environment: Mapping[str, str]) -> str:
    if file is None and variable is None:
        return ""
    if variable is not None:
        value, where = environment.get(variable, ""), f"environment variable {variable}"
    else:
        where = str(file)
        try:
            value = Path(where).read_bytes()[:BYTES_MAX].decode("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            said = error.strerror if isinstance(error, OSError) else "it is no UTF-8 text"
            raise ConfigurationError(
                f"the secret of the channel {channel} cannot be read: {said}",
                where=where,
                remedy="make the file readable",
            ) from None
    value = value.strip()
    if not value:
        raise ConfigurationError(
            f"the secret of the channel {channel} is empty", where=where, remedy="write the secret there"
        )
    return value
