"""The built front-end: scripts and styles by names that change with their content, so that browsers may keep them."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from typing import Final

from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from trueup.model.errors import ConfigurationError

STATIC: Final = Path(__file__).resolve().parent.parent / "static"
ADDRESS: Final = "/static"
BUILT: Final = ("app.js", "app.css", "charts.js")
"""What the build makes, and no page can do without."""

HASH_CHARS: Final = 12
KEPT_SECONDS: Final = 365 * 86_400


def require_assets() -> None:
    """Errors: ConfigurationError when the front-end was not built."""
    missing = [name for name in BUILT if not (STATIC / name).is_file()]
    if missing:
        raise ConfigurationError(
            f"the scripts and styles of the pages were not built: {', '.join(missing)}",
            where=str(STATIC),
            remedy="run `make setup`, which builds them with Node.js",
        )


@cache
def asset(name: str) -> str:
    """The address of a built file, with a hash of its content; without it where the file is not there."""
    path = STATIC / name
    if not path.is_file():
        return f"{ADDRESS}/{name}"
    return f"{ADDRESS}/{name}?v={hashlib.sha256(path.read_bytes()).hexdigest()[:HASH_CHARS]}"


class Assets(StaticFiles):
    """Serves the built files: for good under an address with a hash, else with a check at each use."""

    def __init__(self) -> None:
        super().__init__(directory=STATIC, check_dir=False)

    async def get_response(self, path: str, scope: Scope) -> Response:
        """The file, with how long it may be kept."""
        response = await super().get_response(path, scope)
        asked = f"{ADDRESS}/{path}?{scope['query_string'].decode('latin-1')}"
        kept = f"public, max-age={KEPT_SECONDS}, immutable" if asked == asset(path) else "no-cache"
        response.headers["Cache-Control"] = kept
        return response
