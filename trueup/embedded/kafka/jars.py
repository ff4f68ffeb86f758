"""The jars of a Java service: resolved by Maven once, then taken from the user's cache directory."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential

from trueup.embedded.kafka.java import find_maven
from trueup.model.errors import UnavailableError

_logger = structlog.get_logger()

MAVEN_TIMEOUT_SECONDS = 900
MAVEN_ATTEMPTS = 3
OUTPUT_CHARACTERS_MAX = 2000

_KAFKA_VERSION = re.compile(r"<kafka\.version>([^<]+)</kafka\.version>")


@dataclass(frozen=True, slots=True)
class JarSet:
    """What one service needs on its class path.

    Args:
        name: the cache directory starts with it.
        title: for people.
        pom: the `pom.xml` that lists the jars.
        proof: a pattern that one of the jars has; without it the set is not complete.
        instead: what else can be done when the jars cannot be had.
    """

    name: str
    title: str
    pom: Path
    proof: str
    instead: str


KAFKA_JARS: Final = JarSet(
    "kafka",
    "Apache Kafka",
    Path(__file__).with_name("pom.xml"),
    "kafka_*.jar",
    "`--broker memory` needs no jars",
)


def cache_dir(environ: Mapping[str, str], jars: JarSet = KAFKA_JARS) -> Path:
    """Where these jars belong: under XDG_CACHE_HOME, by Kafka's version and a hash of the `pom.xml`."""
    text = jars.pom.read_text(encoding="utf-8")
    match = _KAFKA_VERSION.search(text)
    version = match[1] if match else "unknown"
    digest = hashlib.sha256(text.encode()).hexdigest()[:12]
    base = environ.get("XDG_CACHE_HOME") or str(Path(environ.get("HOME") or Path.home()) / ".cache")
    return Path(base) / "trueup" / f"{jars.name}-{version}-{digest}"


def resolve_jars(environ: Mapping[str, str], jars: JarSet = KAFKA_JARS) -> Path:
    """The directory of the jars, filled by Maven if this is the first time (some 45 MB).

    The cache appears in one step when it is complete; processes that resolve at the same time do not harm each other.

    Raises:
        ConfigurationError: Maven is needed and missing.
        UnavailableError: Maven could not resolve the jars; the end of its output is in `where`.
    """
    cache = cache_dir(environ, jars)
    if cache.is_dir():
        return cache
    maven = find_maven(environ)
    cache.parent.mkdir(parents=True, exist_ok=True)
    workplace = Path(tempfile.mkdtemp(prefix=f".{cache.name}-", dir=cache.parent))
    try:
        _logger.info("resolving jars", of=jars.title, cache=str(cache))
        for attempt in Retrying(
            stop=stop_after_attempt(MAVEN_ATTEMPTS),
            wait=wait_exponential(multiplier=1, max=10),
            retry=retry_if_exception_type(UnavailableError),
            reraise=True,
        ):
            with attempt:
                _copy_dependencies(maven, jars, workplace / "jars", environ)
        try:
            (workplace / "jars").rename(cache)
        except OSError:
            if not cache.is_dir():  # another process was faster
                raise
    finally:
        shutil.rmtree(workplace, ignore_errors=True)
    return cache


def _copy_dependencies(maven: Path, jars: JarSet, target: Path, environ: Mapping[str, str]) -> None:
    command = [str(maven), "--batch-mode", "--quiet", "--file", str(jars.pom), "dependency:copy-dependencies"]
    command += [f"-DoutputDirectory={target}", "-DincludeScope=runtime"]
    try:
        result = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=MAVEN_TIMEOUT_SECONDS, env=dict(environ)
        )
    except subprocess.TimeoutExpired as error:
        raise _unresolved(jars, f"no end within {MAVEN_TIMEOUT_SECONDS} s") from error
    if result.returncode != 0 or not any(target.glob(jars.proof)):
        raise _unresolved(jars, (result.stdout + result.stderr).strip()[-OUTPUT_CHARACTERS_MAX:])


def _unresolved(jars: JarSet, output: str) -> UnavailableError:
    return UnavailableError(
        f"Maven could not resolve the jars of {jars.title}",
        where=output,
        remedy=f"check the network and Maven's settings; {jars.instead}",
    )
