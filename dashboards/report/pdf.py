"""The report as a PDF; apart from its page, because it needs Pango, a library of the system."""

from __future__ import annotations

import logging
from typing import Any

from weasyprint import HTML
from weasyprint.urls import FatalURLFetchingError, URLFetcher


def report_pdf(html: str) -> bytes:
    """The document as a PDF; nothing is fetched from anywhere.

    Errors: FatalURLFetchingError where the document asks for an address: a fault of the template.
    """
    # It warns of every SVG property that it draws by other means.
    logging.getLogger("weasyprint").setLevel(logging.ERROR)
    pdf = HTML(string=html, url_fetcher=_RefusingFetcher()).write_pdf()
    assert pdf is not None, "no target was given, so the bytes come back"
    return bytes(pdf)


class _RefusingFetcher(URLFetcher):  # type: ignore[misc]  # the library has no types
    """Fetches nothing: everything that the document shows is in it."""

    def fetch(self, url: str, headers: Any = None) -> Any:
        """Refuses every address."""
        del headers
        raise FatalURLFetchingError(f"the report must not load {url}")
