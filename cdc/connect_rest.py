"""The REST interface of Kafka Connect, as far as connectors are registered and watched through it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

import httpx
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

from trueup.model.errors import ConfigurationError, UnavailableError

ANSWER_SECONDS_MAX: Final = 30.0
"""A worker that rebalances answers late; a validation connects to the database."""

SHARING_OUT_SECONDS_MAX: Final = 5.0
"""How long an answer is asked for again that Connect cannot give while it shares out its work, as after each new
configuration."""

_ASKED_AGAIN_AFTER_SECONDS: Final = 0.1

RUNNING: Final = "RUNNING"
FAILED: Final = "FAILED"

Config = Mapping[str, str]
"""The configuration of a connector: setting → value."""


@dataclass(frozen=True, slots=True)
class TaskStatus:
    """The state of a connector or of one of its tasks; `trace` is the Java stack trace of one that failed."""

    state: str
    worker: str
    trace: str = ""

    @property
    def reason(self) -> str:
        """The last cause in the trace, in one line; "" when there is none."""
        lines = [line.strip() for line in self.trace.splitlines() if line.strip()]
        causes = [line.removeprefix("Caused by:").strip() for line in lines if line.startswith("Caused by:")]
        return (causes or lines or [""])[-1 if causes else 0]


@dataclass(frozen=True, slots=True)
class ConnectorStatus:
    """The state of a connector and of its tasks, by their numbers."""

    connector: TaskStatus
    tasks: Mapping[int, TaskStatus]

    @property
    def trouble(self) -> str:
        """Why it does not run, in words; "" while it does."""
        parts = {"the connector": self.connector, **{f"task {number}": task for number, task in self.tasks.items()}}
        wrong = [
            f"{name} is {part.state}{': ' + part.reason if part.reason else ''}"
            for name, part in parts.items()
            if part.state != RUNNING
        ]
        return "; ".join(wrong) if wrong or self.tasks else "the connector has no task yet"


class _SharingOut(UnavailableError):
    """Connect is just sharing out its work."""


class ConnectRest:
    """A client of one Kafka Connect cluster.

    Every method raises UnavailableError when Connect does not answer, or shares out its work for
    `SHARING_OUT_SECONDS_MAX`, and ConfigurationError when it refuses what is asked.

    Args:
        url: address of any of its workers.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._client = httpx.Client(base_url=url, timeout=ANSWER_SECONDS_MAX)

    def plugins(self) -> dict[str, str]:
        """The connectors that are installed: class → version."""
        return {str(plugin["class"]): str(plugin["version"]) for plugin in self._ask("GET", "/connector-plugins")}

    def validate(self, config: Config, name: str) -> dict[str, list[str]]:
        """What Connect and the connector find wrong with a configuration: setting → errors."""
        plugin = config["connector.class"]
        answer = self._ask("PUT", f"/connector-plugins/{plugin}/config/validate", {**config, "name": name})
        values = [entry["value"] for entry in answer["configs"] if entry["value"] is not None]
        return {str(value["name"]): [str(error) for error in value["errors"]] for value in values if value["errors"]}

    def config(self, name: str) -> dict[str, str] | None:
        """The configuration of a connector, placeholders as they were given; None if there is none of this name."""
        answer = self._ask("GET", f"/connectors/{name}/config", missing_is_none=True)
        return None if answer is None else {str(key): str(value) for key, value in answer.items() if key != "name"}

    def register(self, name: str, config: Config) -> None:
        """Create the connector, or give it this configuration."""
        self._ask("PUT", f"/connectors/{name}/config", dict(config))

    def register_at(self, name: str, config: Config, prefix: str, offset: Mapping[str, object]) -> None:
        """Create a connector that goes on from an offset, as Debezium writes it for its `topic.prefix`.

        May be called again when it was interrupted: until the connector has its offset it does not run.
        """
        if self.config(name) is None:
            self._ask("POST", "/connectors", {"name": name, "config": dict(config), "initial_state": "STOPPED"})
        place = {"partition": {"server": prefix}, "offset": dict(offset)}
        self._ask("PATCH", f"/connectors/{name}/offsets", {"offsets": [place]})
        self.resume(name)

    def resume(self, name: str) -> None:
        """Let a connector that was stopped go on."""
        self._ask("PUT", f"/connectors/{name}/resume")

    def has_offsets(self, name: str) -> bool:
        """Whether a connector has committed, or was given, a place to go on from."""
        return bool(self._ask("GET", f"/connectors/{name}/offsets")["offsets"])

    def status(self, name: str) -> ConnectorStatus | None:
        """The state of a connector; None if there is none of this name."""
        answer = self._ask("GET", f"/connectors/{name}/status", missing_is_none=True)
        if answer is None:
            return None
        tasks = {int(task["id"]): _status(task) for task in answer["tasks"]}
        return ConnectorStatus(_status(answer["connector"]), tasks)

    def close(self) -> None:
        """Free the connections."""
        self._client.close()

    def _ask(self, method: str, path: str, document: object = None, *, missing_is_none: bool = False) -> Any:
        return Retrying(
            retry=retry_if_exception_type(_SharingOut),
            stop=stop_after_delay(SHARING_OUT_SECONDS_MAX),
            wait=wait_fixed(_ASKED_AGAIN_AFTER_SECONDS),
            reraise=True,
        )(self._ask_once, method, path, document, missing_is_none=missing_is_none)

    def _ask_once(self, method: str, path: str, document: object, *, missing_is_none: bool) -> Any:
        where = f"{self._url}{path}"
        try:
            response = self._client.request(method, path, json=document)
        except httpx.HTTPError as error:
            remedy = "start Kafka Connect, or correct connect.url"
            reason = str(error) or type(error).__name__
            raise UnavailableError(
                f"Kafka Connect does not answer: {reason}", where=self._url, remedy=remedy
            ) from error
        if response.status_code == HTTPStatus.NOT_FOUND and missing_is_none:
            return None
        if response.is_success:
            return _json(response) if response.content else None
        body = _json(response)
        what = str(body.get("message", "")) if isinstance(body, dict) else ""
        what = what or f"status {response.status_code}"
        if response.status_code == HTTPStatus.CONFLICT:
            raise _SharingOut(f"Kafka Connect cannot answer now: {what}", where=where)
        if response.is_server_error:
            raise UnavailableError(f"Kafka Connect cannot answer now: {what}", where=where)
        raise ConfigurationError(f"Kafka Connect refuses: {what}", where=where, remedy="run `trueup cdc check`")


def _status(part: Mapping[str, Any]) -> TaskStatus:
    return TaskStatus(str(part["state"]), str(part.get("worker_id", "")), str(part.get("trace") or ""))


def _json(response: httpx.Response) -> Any:
    try:
        return response.json()
    except ValueError:
        return None
