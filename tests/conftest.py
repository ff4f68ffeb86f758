"""What every test shares: the order of the stages, the Hypothesis profiles and the ports of each process."""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from trueup.embedded import ports

# A busy two-core machine is slow now and then; a slow example is no failure, and pytest-timeout bounds the whole test.
_BUSY_MACHINE = [HealthCheck.too_slow]

settings.register_profile("dev", deadline=None, suppress_health_check=_BUSY_MACHINE, max_examples=50)
# Always the same examples, so that a red run is red again when it is repeated.
settings.register_profile(
    "ci", deadline=None, suppress_health_check=_BUSY_MACHINE, max_examples=100, derandomize=True, database=None
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci" if os.environ.get("CI") else "dev"))

if "PYTEST_XDIST_WORKER" in os.environ:
    # A port that one process has chosen, and its server not bound yet, looks free to the other processes.
    _size = (ports.PORT_MAX - ports.PORT_MIN + 1) // int(os.environ["PYTEST_XDIST_WORKER_COUNT"])
    ports.PORT_MIN += _size * int(os.environ["PYTEST_XDIST_WORKER"].removeprefix("gw"))
    ports.PORT_MAX = ports.PORT_MIN + _size - 1

_STAGES = ("unit", "property", "contract", "integration", "e2e", "browser", "simulation")
_TESTS = Path(__file__).parent


def _stage(item: pytest.Item) -> int:
    """The rank of the folder that holds the test; tests beside the folders come first."""
    folder = item.path.relative_to(_TESTS).parts[0] if item.path.is_relative_to(_TESTS) else ""
    return _STAGES.index(folder) if folder in _STAGES else -1


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run cheap stages first; within a stage the random order stays."""
    items.sort(key=_stage)
