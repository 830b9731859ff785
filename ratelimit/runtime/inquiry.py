"""Requests described by hand, checked and in the form that extraction reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ratelimit.deciding.bound_policy import BoundPolicy, Matched
from ratelimit.errors import UsageError
from ratelimit.facts.numbers import CREATED
from ratelimit.identity.extract import Headers
from ratelimit.identity.fact import NO_CONTEXT, Context
from ratelimit.identity.source import raw_headers
from ratelimit.policy.routing.request_line import path_of
from ratelimit.policy.routing.target import Target
from ratelimit.policy.schema.model import Event

Given = tuple[
    Mapping[str, str | bytes] | None,
    Mapping[str, int] | None,
    str | None,
    Mapping[str, str] | Headers,
    Mapping[str, Any] | None,
    float | str | None,
]
"""The facts in a call: identities, costs, client, headers, state, and the account's creation."""
Inquiry = tuple[BoundPolicy, Matched, list[int], int, Mapping[str, int] | None]
"""What the decider is asked."""


def inquire(
    bound: BoundPolicy, now_ns: int, method: str, path: str | Target, event: Event, given: Given
) -> Inquiry | None:
    """Return what the decider is asked of a request, None for one that nothing applies to.

    Raises:
        UsageError: an identity or unit that the policy does not have.
    """
    identities, costs, client, headers, state, created = given
    extractor = bound.extractor
    matched = bound.match_named(method, path, event)
    if not matched.is_limited and not bound.has_lists and matched.group < 0:
        return None
    known = None
    if bound.by_name is not None and not headers and state is None and created is None:
        known = bound.by_name.identities(identities, client, matched.params)
    if known is None:
        raw = raw_headers(headers) if headers else ()
        context = NO_CONTEXT
        if extractor.needs_context or created is not None:
            numbers = {bound.compiled.place_of(CREATED): created}
            context = Context(matched.params, {} if state is None else state, numbers=numbers)
        if identities:
            known = extractor.from_values(checked_names(identities, bound.names), client, raw, context)
        else:
            known = extractor.extract(raw, client, context)
    amounts = costs if costs is None else checked_costs(costs, bound.compiled.units)
    return bound, matched, known, now_ns, amounts


def holder_in(bound: BoundPolicy, given: Given) -> tuple[int, int]:
    """Return the network and the address of a request's client."""
    _, _, client, headers, *_ = given
    return bound.holder(raw_headers(headers) if headers else (), client)


def described(method: str, path: str | Target, event: Event, given: Given) -> Mapping[str, Any]:
    """Return a request as a mapping like an ASGI scope, with `identities` by name."""
    identities, _, client, headers, state, _ = given
    return {
        "type": "http" if event == "request" else "websocket",
        "method": method,
        "path": path_of(path),
        "headers": raw_headers(headers) if headers else (),
        "client": None if client is None else (client, 0),
        "state": {} if state is None else state,
        "identities": {} if identities is None else identities,
    }


def checked_names(values: Mapping[str, str | bytes], known: Mapping[str, int]) -> Mapping[str, str | bytes]:
    """Return `values`, all with names that the policy knows."""
    for name in values:
        if name not in known:
            raise UsageError(
                f"the policy has no identity {name!r}; it has {', '.join(known) or 'none'}",
                code="identity-unknown",
            )
    return values


def checked_costs(costs: Mapping[str, int], known: Sequence[str]) -> Mapping[str, int]:
    """Return `costs`, all in units that some limit of the policy counts."""
    for unit in costs:
        if unit not in known:
            raise UsageError(f"no limit counts {unit!r}; there are {', '.join(known)}", code="unit-unknown")
    return costs
