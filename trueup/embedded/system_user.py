"""The unprivileged system user for a child that refuses to run as root, and its way to the files it needs.

Only used when the supervisor itself runs as root, as in a container; otherwise children run as the caller.
"""

from __future__ import annotations

import os
import pwd
import stat
import subprocess
from pathlib import Path

import structlog

from trueup.embedded.service import ProcessUser
from trueup.model.errors import ConfigurationError

_logger = structlog.get_logger()

USERADD_TIMEOUT_SECONDS = 30


def unprivileged_user(name: str) -> ProcessUser | None:
    """The named system user, made without login if it is absent; None when this process is not root.

    Raises:
        ConfigurationError: the user is absent and cannot be made.
    """
    if os.geteuid() != 0:
        return None
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        _add_user(name)
        entry = pwd.getpwnam(name)
    return ProcessUser(entry.pw_uid, entry.pw_gid)


def _add_user(name: str) -> None:
    command = ["useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", name]
    try:
        subprocess.run(command, check=True, capture_output=True, timeout=USERADD_TIMEOUT_SECONDS)
    except FileNotFoundError as error:
        raise _no_user(name, "useradd is not installed") from error
    except subprocess.CalledProcessError as error:
        raise _no_user(name, error.stderr.decode("utf-8", "replace").strip()) from error
    except subprocess.TimeoutExpired as error:
        raise _no_user(name, "useradd did not end") from error
    _logger.info("system user made", user=name)


def _no_user(name: str, reason: str) -> ConfigurationError:
    return ConfigurationError(
        f"PostgreSQL refuses to run as root, and the system user {name} cannot be made: {reason}",
        remedy="run as another user than root, or make that user",
    )


def let_pass(path: Path) -> None:
    """Let every user pass through (not list) the directories above `path`, as the child's user must.

    Raises:
        ConfigurationError: a directory is closed and its mode cannot be changed.
    """
    for directory in path.resolve().parents:
        mode = stat.S_IMODE(directory.stat().st_mode)
        if mode & stat.S_IXOTH:
            continue
        try:
            directory.chmod(mode | stat.S_IXOTH)
        except OSError as error:
            raise ConfigurationError(
                f"the unprivileged user of PostgreSQL cannot pass through a directory: {error.strerror}",
                where=str(directory),
                remedy="choose a data directory in a place that every user may pass through, or run as another user",
            ) from error
        _logger.warning("directory opened for passing through", directory=str(directory))
