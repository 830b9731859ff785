"""The fields that responses carry, as the list `headers` of a policy names them."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

HeaderName = Literal["ratelimit", "x-ratelimit", "retry-after", "abnormal-usage"]
DEFAULT: list[HeaderName] = ["ratelimit", "retry-after"]


class Headers(Struct, frozen=True):
    """What responses say of limits: one truth for each word of the list."""

    ratelimit: bool = True
    x_ratelimit: bool = False
    retry_after: bool = True
    abnormal_usage: bool = False


def headers_of(names: list[HeaderName]) -> Headers:
    """Return the fields that a list names."""
    return Headers(*(name in names for name in ("ratelimit", "x-ratelimit", "retry-after", "abnormal-usage")))
