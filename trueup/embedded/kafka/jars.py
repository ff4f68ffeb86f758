"""The jars of Apache Kafka: resolved by Maven once, then taken from the user's cache directory."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

import structlog
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential

from trueup.embedded.kafka.java import find_maven
from trueup.model.errors import UnavailableError

_logger = structlog.get_logger()

POM = Path(__file__).with_name("pom.xml")
MAVEN_TIMEOUT_SECONDS = 900
MAVEN_ATTEMPTS = 3
OUTPUT_CHARACTERS_MAX = 2000

_KAFKA_VERSION = re.compile(r"<kafka\.version>([^<]+)</kafka\.version>")


def cache_dir(environ: Mapping[str, str], pom: Path = POM) -> Path:
    """Where the jars of this `pom.xml` belong: under XDG_CACHE_HOME, by Kafka's version and a hash of the file."""
    text = pom.read_text(encoding="utf-8")
    match = _KAFKA_VERSION.search(text)
    version = match[1] if match else "unknown"
    digest = hashlib.sha256(text.encode()).hexdigest()[:12]
    base = environ.get("XDG_CACHE_HOME") or str(Path(environ.get("HOME") or Path.home()) / ".cache")
    return Path(base) / "trueup" / f"kafka-{version}-{digest}"


def resolve_jars(environ: Mapping[str, str], pom: Path = POM) -> Path:
    """The directory of the jars, filled by Maven if this is the first time (some 45 MB).

    The cache appears in one step when it is complete; processes that resolve at the same time do not harm each other.

    Raises:
        ConfigurationError: Maven is needed and missing.
        UnavailableError: Maven could not resolve the jars; the end of its output is in `where`.
    """
    cache = cache_dir(environ, pom)
    if cache.is_dir():
        return cache
    maven = find_maven(environ)
    cache.parent.mkdir(parents=True, exist_ok=True)
    workplace = Path(tempfile.mkdtemp(prefix=f".{cache.name}-", dir=cache.parent))
    try:
        _logger.info("resolving the jars of Apache Kafka", cache=str(cache))
        for attempt in Retrying(
            stop=stop_after_attempt(MAVEN_ATTEMPTS),
            wait=wait_exponential(multiplier=1, max=10),
            retry=retry_if_exception_type(UnavailableError),
            reraise=True,
        ):
            with attempt:
                _copy_dependencies(maven, pom, workplace / "jars", environ)
        try:
            (workplace / "jars").rename(cache)
        except OSError:
            if not cache.is_dir():  # another process was faster
                raise
    finally:
        shutil.rmtree(workplace, ignore_errors=True)
    return cache


def _copy_dependencies(maven: Path, pom: Path, jars: Path, environ: Mapping[str, str]) -> None:
    command = [str(maven), "--batch-mode", "--quiet", "--file", str(pom), "dependency:copy-dependencies"]
    command += [f"-DoutputDirectory={jars}", "-DincludeScope=runtime"]
    try:
        result = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=MAVEN_TIMEOUT_SECONDS, env=dict(environ)
        )
    except subprocess.TimeoutExpired as error:
        raise _unresolved(f"no end within {MAVEN_TIMEOUT_SECONDS} s") from error
    if result.returncode != 0 or not any(jars.glob("kafka_*.jar")):
        raise _unresolved((result.stdout + result.stderr).strip()[-OUTPUT_CHARACTERS_MAX:])


def _unresolved(output: str) -> UnavailableError:
    return UnavailableError(
        "Maven could not resolve the jars of Apache Kafka",
        where=output,
        remedy="check the network and Maven's settings; `--broker memory` needs no jars",
    )
