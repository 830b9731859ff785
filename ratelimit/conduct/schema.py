"""Conduct in the policy file, as types: `adaptive` of a limit, and `ramp` of the file."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from ratelimit.codes import error, warning
from ratelimit.features.table import Table


class LimitKeys(Table, frozen=True, forbid_unknown_fields=True):
    """The keys of a limit that conduct reads."""

    adaptive: Annotated[
        bool | list[str],
        Meta(
            description="Bad conduct lowers the limit, never below a tenth: an account that calls on through "
            "its refusals, and actors that gain accounts. Or the names of the limits whose refusals lower "
            "this one, of those that count by the same identities."
        ),
    ] = False


class FileKeys(Table, frozen=True, forbid_unknown_fields=True):
    """The key of the file that conduct reads."""

    ramp: Annotated[
        str | None,
        Meta(
            description="Requests an hour that any account may make undelayed, whatever its past. Beyond, "
            "it may make three times as many as in its highest hour, which fades with a half-life of a "
            "week. Each one above that is held up to two seconds, the longer the steeper the rise. "
            "`600/hour in shadow` only counts what it would delay. Default: none.",
            examples=["600/hour"],
        ),
    ] = None


CODES = {
    "ramp-rate": error(
        "`ramp` is no number of requests an hour.", "Write it like `600/hour`, or `600/hour in shadow`."
    ),
    "adaptive-unproven": warning(
        "Calls through refusals do not lower the limit: anyone can write what it counts by, or share it.",
        "Count by what the application proved (`state:`, `resolver:`), or by a key in a header.",
    ),
}
