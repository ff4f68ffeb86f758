"""What the dashboard's process measures of itself; labels are bounded by the routes that exist."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from time import perf_counter
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dashboards.web.assets import ADDRESS

BUCKETS_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.4, 1.0, 2.5, 10.0)
"""With an edge at the 200 ms that a page may take."""

UNKNOWN_ROUTE: Final = "none"


class DashboardMetrics:
    """The metrics of one process.

    Args:
        listeners: how many pages listen to live events now.
    """

    def __init__(self, listeners: Callable[[], int]) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "trueup_dashboard_requests",
            "Requests, by the route that answered and the class of the status",
            ["route", "status"],
            registry=self.registry,
        )
        self._seconds = Histogram(
            "trueup_dashboard_request_seconds",
            "From the request to the beginning of its answer",
            ["route"],
            buckets=BUCKETS_SECONDS,
            registry=self.registry,
        )
        self.registry.register(_Listeners(listeners))

    def count(self, route: str, status: int, seconds: float) -> None:
        """Count one request."""
        self._requests.labels(route, f"{status // 100}xx").inc()
        self._seconds.labels(route).observe(seconds)


class _Listeners(Collector):
    """Asked when somebody reads the metrics."""

    def __init__(self, listeners: Callable[[], int]) -> None:
        self._listeners = listeners

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """The one gauge."""
        yield GaugeMetricFamily(
            "trueup_dashboard_live_subscribers", "Pages that listen to live events", value=self._listeners()
        )


class Measured:
    """ASGI middleware that counts requests.

    Args:
        app: what it stands around.
        metrics: where requests are counted.
    """

    def __init__(self, app: ASGIApp, metrics: DashboardMetrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on; one whose answer never began counts as 500."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = perf_counter()
        status, seconds = 500, 0.0

        async def send_noting(message: Message) -> None:
            nonlocal status, seconds
            if message["type"] == "http.response.start":
                status, seconds = message["status"], perf_counter() - began
            await send(message)

        try:
            await self._app(scope, receive, send_noting)
        finally:
            self._metrics.count(route_of(scope), status, seconds or perf_counter() - began)


def route_of(scope: Scope) -> str:
    """The template of the route that was found, such as `/orders/{order_id}`: an address would be a label without bound."""
    if scope["path"].startswith(f"{ADDRESS}/"):
        return ADDRESS
    path = getattr(scope.get("route"), "path", None)
    return path if isinstance(path, str) else UNKNOWN_ROUTE
