"""What a ticket file holds, and the hash that names it."""

from __future__ import annotations

from lottery_core.store import digest as digest  # the store verifies by it what it keeps

FORMAT = "lottery-ticket 1"  # the header field "format" of every file of ours
PARTS = ("mask", "restart", "trained")
