"""Conduct in the policy file, as types: a limit's steps after strikes, and the `[ramp]` table."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from ratelimit.load.schema import LoadMode
from ratelimit.policy.schema.table import Table

FirstStep = Literal["refuse", "degrade", "challenge"]
"""What becomes of a request that the whole limit has no room for."""
Step = Literal["observe", "wait", "degrade", "challenge", "refuse"]
"""What becomes of a request that only bad conduct leaves no room for, from the mildest."""


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
