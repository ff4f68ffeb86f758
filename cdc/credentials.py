"""The password of the source, from the settings or from a file that is read anew for every connection."""

from __future__ import annotations

from pathlib import Path

from trueup.model.errors import ConfigurationError
from trueup.settings import SourceSettings


def password_of(source: SourceSettings) -> str:
    """The password: not for logs. The line end of the file is no part of it.

    Errors: ConfigurationError when the file cannot be read.
    """
    if not source.password_file:
        return source.password.get_secret_value()
    try:
        return Path(source.password_file).read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise ConfigurationError(
            f"the password of the source cannot be read: {reason}",
            where=f"source.password_file = {source.password_file}",
            remedy="name a file that this process may read, with the password as its only line",
        ) from error
