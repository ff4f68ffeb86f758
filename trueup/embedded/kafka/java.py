"""Finds the Java runtime and Maven that the embedded broker needs, or says which one is missing."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from trueup.model.errors import ConfigurationError

JAVA_MAJOR_MIN = 17
VERSION_TIMEOUT_SECONDS = 30

_VERSION = re.compile(r'version "(?:1\.)?(\d+)')
_INSTEAD = "or use a broker of your own, or `--broker memory` for a look"


def find_java(environ: Mapping[str, str]) -> Path:
    """The `java` program: of JAVA_HOME if that is set, else on PATH.

    Raises:
        ConfigurationError: there is none, it does not run, or it is older than 17.
    """
    home = environ.get("JAVA_HOME")
    found = str(Path(home) / "bin" / "java") if home else shutil.which("java", path=environ.get("PATH"))
    where = "JAVA_HOME" if home else "PATH"
    remedy = f"install a Java runtime, version {JAVA_MAJOR_MIN} or newer, {_INSTEAD}"
    if found is None or not Path(found).exists():
        raise ConfigurationError("the embedded broker needs Java, which is not there", where=where, remedy=remedy)
    try:
        result = subprocess.run(
            [found, "-version"], capture_output=True, text=True, check=True, timeout=VERSION_TIMEOUT_SECONDS
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise ConfigurationError("the Java that was found does not run", where=found, remedy=remedy) from error
    match = _VERSION.search(result.stderr + result.stdout)
    if match is None or int(match[1]) < JAVA_MAJOR_MIN:
        version = f"version {match[1]}" if match else "an unknown version"
        raise ConfigurationError(f"the embedded broker needs a newer Java than {version}", where=found, remedy=remedy)
    return Path(found)


def find_maven(environ: Mapping[str, str]) -> Path:
    """The `mvn` program on PATH.

    Raises:
        ConfigurationError: there is none.
    """
    found = shutil.which("mvn", path=environ.get("PATH"))
    if found is None:
        raise ConfigurationError(
            "the jars of the embedded broker are fetched by Maven, which is not there",
            where="PATH",
            remedy=f"install Maven (`mvn`); it is needed once; {_INSTEAD}",
        )
    return Path(found)
