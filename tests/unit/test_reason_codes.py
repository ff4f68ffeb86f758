"""The list of reasons holds exactly those that the code gives."""

from __future__ import annotations

import re
from pathlib import Path

from trueup.model.reason_codes import OTHER_CODE, REASON_CODES, counted_code

ROOT = Path(__file__).resolve().parents[2]
GIVEN = re.compile(r"""(?:InvalidRecord\(\s*|read_fields\(\w+, |_CODE: Final = )"([a-z-]+)\"""")


def test_every_reason_that_the_code_gives_is_listed_and_no_other() -> None:
    files = [file for package in ("trueup", "cdc", "reconcile", "streams") for file in (ROOT / package).rglob("*.py")]
    files.remove(ROOT / "trueup/model/reason_codes.py")
    given = {code for file in files for code in GIVEN.findall(file.read_text(encoding="utf-8"))}
    assert set(REASON_CODES) == given
    assert list(REASON_CODES) == sorted(given)


def test_an_unknown_reason_is_counted_with_the_others() -> None:
    assert counted_code("malformed-json") == "malformed-json"
    assert counted_code('from outside"}') == OTHER_CODE
