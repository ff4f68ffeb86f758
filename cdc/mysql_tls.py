"""TLS to MySQL and MariaDB, told by the settings as libpq names it."""

from __future__ import annotations

import ssl
from typing import Any

from trueup.model.errors import ConfigurationError
from trueup.settings import SourceSettings


def tls_arguments(source: SourceSettings) -> dict[str, Any]:
    """Arguments of `pymysql.connect` for `source.sslmode` and its files.

    Errors: ConfigurationError for a file that cannot be used.
    """
    if source.sslmode == "disable":
        return {"ssl_disabled": True}
    if source.sslmode in {"allow", "prefer"}:
        # The driver's own way: TLS where the server offers it, and nobody is checked.
        return {}
    return {"ssl": _context(source)}


def _context(source: SourceSettings) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=source.sslrootcert or None)
        if source.sslcert:
            context.load_cert_chain(source.sslcert, source.sslkey or None)
    # What a file holds that is no certificate is an SSLError, which is an OSError too.
    except OSError as error:
        files = {name: getattr(source, name) for name in ("sslrootcert", "sslcert", "sslkey")}
        raise ConfigurationError(
            f"the certificates of the source cannot be used: {error.strerror or error}",
            where=", ".join(f"source.{name} = {file}" for name, file in files.items() if file),
            remedy="name PEM files that this process may read",
        ) from error
    context.check_hostname = source.sslmode == "verify-full"
    # As libpq has it: with an authority at hand, `require` checks that it signed.
    if source.sslmode == "require" and not source.sslrootcert:
        context.verify_mode = ssl.CERT_NONE
    return context
