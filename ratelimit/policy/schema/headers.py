"""Settings of the fields that responses carry."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from ratelimit.features.table import Table


class Headers(Table, frozen=True, forbid_unknown_fields=True):
    """Header fields of responses about limits."""

    ratelimit: Annotated[bool, Meta(description="Send `RateLimit` and `RateLimit-Policy`.")] = True
    x_ratelimit: Annotated[
        bool, Meta(description="Send the older `X-RateLimit-Limit`, `-Remaining` and `-Reset`.")
    ] = False
    retry_after: Annotated[bool, Meta(description="Send `Retry-After` with a refusal.")] = True
    abnormal_usage: Annotated[
        bool,
        Meta(
            description="A refusal by a limit per cluster has the type `abnormal-usage-detected` instead of "
            "`quota-exceeded`. It shows a client that it was recognised."
        ),
    ] = False
