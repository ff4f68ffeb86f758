"""Looking into the generated files of Grafana: objects at any depth, and names of metrics."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

OURS = re.compile(r"\b(?:trueup|process)_[a-z_]+")
"""Metrics of our processes within an expression."""


def objects_in(held: Any) -> Iterator[dict[str, Any]]:
    """Every JSON object, at any depth."""
    if isinstance(held, dict):
        yield held
        for inner in held.values():
            yield from objects_in(inner)
    elif isinstance(held, list):
        for inner in held:
            yield from objects_in(inner)
