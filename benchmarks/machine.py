"""What the figures were measured on, and how fast it was at that moment: hosts give a machine more or less of themselves."""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import sys
from typing import Final

import psutil

_LOOP: Final = """
from time import perf_counter
for _ in range(5):
    began, total = perf_counter(), 0
    for number in range(2_000_000):
        total += number
    print(perf_counter() - began)
"""


def machine() -> str:
    """Cores, memory, system and Python, in words."""
    gib = psutil.virtual_memory().total / 2**30
    return f"{os.cpu_count()} cores, {gib:.0f} GiB, {platform.system()}, Python {platform.python_version()}"


def loop_ms() -> int:
    """Milliseconds for two million rounds of a loop that does nothing but add, in as many processes as there are cores.

    The median over them. What takes twice the time here takes about twice the time in a benchmark.
    """
    running = [
        subprocess.Popen([sys.executable, "-c", _LOOP], stdout=subprocess.PIPE, text=True)
        for _ in range(os.cpu_count() or 1)
    ]
    seconds = [float(line) for process in running for line in process.communicate()[0].split()]
    return round(statistics.median(seconds) * 1000)
