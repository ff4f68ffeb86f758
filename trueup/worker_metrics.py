"""Reads what a worker tells about itself on its metrics port."""

from __future__ import annotations

from typing import Final
from urllib.error import URLError
from urllib.request import urlopen

from prometheus_client.parser import text_string_to_metric_families

TIMEOUT_SECONDS: Final = 2.0


def metric_total(port: int, name: str, stage: str | None = None) -> float | None:
    """Sum of a metric's samples, such as `trueup_changes_total`, of one stage or of all; None if nobody answers."""
    try:
        with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=TIMEOUT_SECONDS) as answer:
            text = answer.read().decode()
    except (URLError, OSError):
        return None
    return sum(
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name and (stage is None or sample.labels.get("stage") == stage)
    )
