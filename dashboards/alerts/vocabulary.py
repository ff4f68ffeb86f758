"""The words that alerts are kept with: kinds of message, and the states of one in the outbox."""

from __future__ import annotations

from typing import Final

RAISED: Final = "raised"
REMINDER: Final = "reminder"
RESOLVED: Final = "resolved"
DIGEST: Final = "digest"
TEST: Final = "test"

WAITING: Final = "waiting"
RETRYING: Final = "retrying"
"""Waiting too, but by itself: it was tried and may have arrived, so that no digest takes it in; or it is a digest."""

SENDING: Final = "sending"
SENT: Final = "sent"
DIGESTED: Final = "digested"
"""Told as a part of a digest."""

DEAD: Final = "dead"
"""Given up; kept until somebody sends it again or drops it."""

SUPERSEDED: Final = "superseded"
"""Not needed any more before it was sent."""

DROPPED: Final = "dropped"
