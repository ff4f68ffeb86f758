"""A wheel, built offline as a release would be, carries everything that runs and nothing that only builds."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from dashboards.web.assets import BUILT

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    target = tmp_path_factory.mktemp("wheel")
    done = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(target)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (wheel,) = target.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_the_pages_are_in_the_wheel(names: set[str]) -> None:
    assert {f"dashboards/static/{name}" for name in (*BUILT, "icon.svg")} <= names
    templates = {f"dashboards/templates/{path.name}" for path in (ROOT / "dashboards/templates").glob("*.html")}
    catalogues = {f"dashboards/locale/zh/{path.name}" for path in (ROOT / "dashboards/locale/zh").glob("*.po")}
    rules = {f"dashboards/rules/{path.name}" for path in (ROOT / "docs/rules").glob("*.md")}
    assert rules <= names
    assert templates <= names
    assert catalogues <= names


def test_the_licences_of_what_is_bundled_are_in_the_wheel(names: set[str]) -> None:
    assert "dashboards/static/LICENSES.txt" in names


def test_what_the_front_end_is_built_from_is_not_in_the_wheel(names: set[str]) -> None:
    assert [name for name in names if "node_modules" in name or name.startswith("dashboards/frontend/")] == []
