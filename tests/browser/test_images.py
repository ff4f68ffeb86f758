"""The pictures of the README, made of the running dashboard when TRUEUP_UPDATE_IMAGES is set; else only tried."""

from __future__ import annotations

import io
import os
import re
from pathlib import Path

import pytest
from PIL import Image

from tests.browser.places import address_of
from tests.browser.site import NARROW, WIDE, Site, Theme, at_rest, wait_until

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(900)]

IMAGES = Path(__file__).resolve().parents[2] / "docs/images"
BYTES_MAX = 200_000
COLOURS = 128
UNCOUNTED = re.compile("…|Being counted")


def reduced(picture: bytes) -> bytes:
    """The same PNG with a palette, a quarter of the size."""
    out = io.BytesIO()
    Image.open(io.BytesIO(picture)).convert("RGB").quantize(COLOURS).save(out, "PNG", optimize=True)
    return out.getvalue()


@pytest.mark.parametrize(
    ("name", "language", "theme"),
    [
        ("overview", "en", "light"),
        ("largest discrepancies", "en", "light"),
        ("case", "en", "light"),
        ("statement", "en", "light"),
        ("overview", "zh", "dark"),
    ],
)
def test_a_picture_is_made(site: Site, tmp_path: Path, name: str, language: str, theme: Theme) -> None:
    folder = IMAGES if os.environ.get("TRUEUP_UPDATE_IMAGES") else tmp_path
    folder.mkdir(exist_ok=True)
    width = WIDE if language == "en" else NARROW
    with site.visit("anna", language=language, width=width, theme=theme) as visit:
        page = visit.open(address_of(site, name))
        # Figures that nobody has looked at before are counted first.
        wait_until("all is counted", lambda: not UNCOUNTED.search(page.locator("main").inner_text()))
        at_rest(page)
        picture = reduced(page.screenshot())
    suffix = "" if language == "en" else f"-{language}-{theme}"
    (folder / f"{name.split()[-1]}{suffix}.png").write_bytes(picture)
    assert 5_000 < len(picture) < BYTES_MAX
