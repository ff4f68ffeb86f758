"""The file by which Prometheus finds the processes that run now (`file_sd_configs`)."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import orjson

from trueup.embedded.ports import LOOPBACK

TARGETS_FILE: Final = "prometheus-targets.json"


def write_targets(data_dir: Path, ports: Sequence[tuple[str, int]]) -> None:
    """Replace the file in one step, so that it is never read half-written; `ports` is (service, port of its metrics)."""
    targets = [{"targets": [f"{LOOPBACK}:{port}"], "labels": {"service": service}} for service, port in ports]
    content = orjson.dumps(targets, option=orjson.OPT_INDENT_2)
    path = data_dir / TARGETS_FILE
    if path.exists() and path.read_bytes() == content:
        return
    descriptor, name = tempfile.mkstemp(prefix=".targets-", dir=data_dir)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    Path(name).replace(path)
