"""The built scripts and styles: without them the dashboard says what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from dashboards.web import assets
from trueup.model.errors import ConfigurationError


def test_a_missing_build_is_told_with_its_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assets, "STATIC", tmp_path)
    (tmp_path / "app.js").touch()
    with pytest.raises(ConfigurationError) as told:
        assets.require_assets()
    assert "app.css" in told.value.what
    assert "app.js" not in told.value.what
    assert "make setup" in told.value.remedy


def test_nothing_is_loaded_from_outside() -> None:
    for path in assets.STATIC.glob("*.css"):
        text = path.read_text(encoding="utf-8")
        assert "@import" not in text
        assert "url(http" not in text
        assert "//" not in text.replace("/*", "").replace("*/", "")


def test_pages_load_little() -> None:
    sizes = {name: (assets.STATIC / name).stat().st_size for name in assets.BUILT}
    assert sizes["app.js"] < 100_000
    assert sizes["app.css"] < 30_000
    assert sizes["charts.js"] < 700_000
