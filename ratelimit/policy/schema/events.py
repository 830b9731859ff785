"""The `[events]` table as types: where events go."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from ratelimit.features.table import Table


class Events(Table, frozen=True, forbid_unknown_fields=True):
    """Destinations of events: outages, reloads, actors, exemptions. Each is reported once for each host."""

    log: Annotated[
        bool, Meta(description="One line each to the logger `ratelimit.events`, with time and fields.")
    ] = True
    file: Annotated[
        str | None,
        Meta(
            description="A file that gets one JSON object a line, or `stderr`. Default: none.",
            examples=["/var/log/ratelimit/events.ndjson"],
        ),
    ] = None
    webhook: Annotated[
        str | None,
        Meta(
            description="An address that each event is posted to as JSON, or `env:NAME` of a variable that "
            "holds it. Default: none.",
            examples=["env:RATELIMIT_WEBHOOK"],
        ),
    ] = None
