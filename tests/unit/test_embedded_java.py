"""What is said when Java or Maven is missing, too old or fails, and where the jars are kept; no real Java involved."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from trueup.embedded.connect.worker import CONNECT_JARS
from trueup.embedded.kafka.jars import KAFKA_JARS, cache_dir, resolve_jars
from trueup.embedded.kafka.java import find_java, find_maven
from trueup.model.errors import ConfigurationError, UnavailableError


def program(path: Path, script: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def test_java_is_missing(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="needs Java") as caught:
        find_java({"PATH": str(tmp_path)})
    assert "17 or newer" in caught.value.remedy
    assert "--broker memory" in caught.value.remedy


@pytest.mark.parametrize(
    ("output", "told"),
    [
        ('openjdk version "11.0.27" 2025-04-15', "version 11"),
        ('java version "1.8.0_451"', "version 8"),
        ("hello", "an unknown version"),
    ],
)
def test_java_is_too_old(tmp_path: Path, output: str, told: str) -> None:
    java = program(tmp_path / "java", f"echo '{output}' >&2")
    with pytest.raises(ConfigurationError, match=f"newer Java than {told}") as caught:
        find_java({"PATH": str(tmp_path)})
    assert caught.value.where == str(java)


@pytest.mark.parametrize("version", ["17.0.15", "21", "25-ea"])
def test_java_is_new_enough(tmp_path: Path, version: str) -> None:
    java = program(tmp_path / "bin" / "java", f"echo 'openjdk version \"{version}\"' >&2")
    assert find_java({"JAVA_HOME": str(tmp_path), "PATH": ""}) == java


def test_java_does_not_run(tmp_path: Path) -> None:
    program(tmp_path / "java", "exit 1")
    with pytest.raises(ConfigurationError, match="does not run"):
        find_java({"PATH": str(tmp_path)})


def test_maven_is_missing(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="Maven") as caught:
        find_maven({"PATH": str(tmp_path)})
    assert "mvn" in caught.value.remedy


def test_the_cache_is_named_after_version_and_pom(tmp_path: Path) -> None:
    other = replace(KAFKA_JARS, name="other", pom=tmp_path / "pom.xml")
    other.pom.write_text(KAFKA_JARS.pom.read_text().replace("4.3.0", "4.9.9"))
    environ = {"XDG_CACHE_HOME": str(tmp_path)}
    assert cache_dir(environ).parent == tmp_path / "trueup"
    assert cache_dir(environ).name.startswith("kafka-4.3.0-")
    assert cache_dir(environ, other).name.startswith("other-4.9.9-")
    assert cache_dir({"HOME": str(tmp_path)}).parent == tmp_path / ".cache" / "trueup"


def test_connect_has_the_version_of_the_broker(tmp_path: Path) -> None:
    environ = {"XDG_CACHE_HOME": str(tmp_path)}
    versions = {cache_dir(environ, jars).name.split("-")[1] for jars in (KAFKA_JARS, CONNECT_JARS)}
    assert len(versions) == 1


def test_jars_are_resolved_once(tmp_path: Path) -> None:
    calls = tmp_path / "calls"
    program(
        tmp_path / "mvn",
        f'echo call >> {calls}\nfor a in "$@"; do case $a in -DoutputDirectory=*) d=${{a#*=}};; esac; done\n'
        '/bin/mkdir -p "$d" && : > "$d/kafka_2.13.jar"',
    )
    environ = {"PATH": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    first = resolve_jars(environ)
    assert [jar.name for jar in first.iterdir()] == ["kafka_2.13.jar"]
    assert resolve_jars(environ) == first
    assert calls.read_text() == "call\n"
    assert list(first.parent.iterdir()) == [first]


def test_a_failed_resolution_leaves_nothing_behind_and_tells_mavens_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trueup.embedded.kafka.jars.MAVEN_ATTEMPTS", 2)
    calls = tmp_path / "calls"
    program(tmp_path / "mvn", f"echo call >> {calls}; echo 'Could not transfer artifact' >&2; exit 1")
    environ = {"PATH": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    with pytest.raises(UnavailableError, match="Could not transfer artifact"):
        resolve_jars(environ)
    assert calls.read_text() == "call\ncall\n"
    assert list((tmp_path / "cache" / "trueup").iterdir()) == []
