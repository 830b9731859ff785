"""Conduct in the policy file, as types: `adaptive` of a limit, and the `[ramp]` table."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from ratelimit.codes import warning
from ratelimit.features.table import Table
from ratelimit.load.schema import LoadMode


class LimitKeys(Table, frozen=True, forbid_unknown_fields=True):
    """The keys of a limit that conduct reads."""

    adaptive: Annotated[
        bool | list[str],
        Meta(
            description="Bad conduct lowers the limit, never below a tenth: an account that calls on through "
            "its refusals, and clusters that gain accounts. Or the names of the limits whose refusals lower "
            "this one, of those that count by the same identities."
        ),
    ] = False


class Ramp(Table, frozen=True, forbid_unknown_fields=True):
    """Delays requests of an account that rises steeply above its own past, and never refuses them."""

    usual: Annotated[
        int,
        Meta(
            ge=1,
            le=300_000,
            description="Requests an hour that any account may make undelayed, whatever its past. Beyond, "
            "it may make three times as many as in its highest hour, which fades with a half-life of a week. "
            "Each one above that is held up to two seconds, the longer the steeper the rise.",
            examples=[600],
        ),
    ]
    mode: Annotated[LoadMode, Meta(description="`shadow` counts what it would delay.")] = "enforce"


class FileKeys(Table, frozen=True, forbid_unknown_fields=True):
    """The tables of the file that conduct reads."""

    ramp: Annotated[
        Ramp | None, Meta(description="Steep rises above an account's own past are delayed. Default: none.")
    ] = None


CODES = {
    "adaptive-unproven": warning(
        "Calls through refusals do not lower the limit: anyone can write what it counts by, or share it.",
        "Count by what the application proved (`state:`, `resolver:`), or by a key in a header.",
    ),
}
