"""What callers give by hand, checked and in the form that extraction reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ratelimit.errors import UsageError
from ratelimit.identity.extract import Headers


def checked_names(values: Mapping[str, str | bytes], known: Mapping[str, int]) -> Mapping[str, str | bytes]:
    """Return `values`, all of whose names the policy knows."""
    for name in values:
        if name not in known:
            raise UsageError(
                f"the policy has no identity {name!r}; it has {', '.join(known) or 'none'}",
                code="identity-unknown",
            )
    return values


def checked_costs(costs: Mapping[str, int], known: Sequence[str]) -> Mapping[str, int]:
    """Return `costs`, all of whose units some limit of the policy counts."""
    for unit in costs:
        if unit not in known:
            raise UsageError(f"no limit counts {unit!r}; there are {', '.join(known)}", code="unit-unknown")
    return costs


def raw_headers(headers: Mapping[str, str] | Headers) -> Headers:
    """Return headers as ASGI has them."""
    if isinstance(headers, Mapping):
        return [
            (name.lower().encode("latin-1", "replace"), value.encode("utf-8", "surrogateescape"))
            for name, value in headers.items()
        ]
    return headers
