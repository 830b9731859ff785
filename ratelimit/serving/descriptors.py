"""From the descriptors of one call to the facts of one request.

The rule, which docs/serve.md has for operators:

- `path`, `method` and `remote_address` are what their names say;
- `unit` names what `hits_addend` counts, requests if not said; `done` marks a call at a stream's end;
- a key that is one of the policy's identities is that identity;
- any other key is a header field of that name.

All descriptors of a call are about one request: their facts are taken together. What
Envoy sends is bounded here before anything is made of it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

MOST_DESCRIPTORS = 16
MOST_ENTRIES = 64
"""Of all descriptors of one call."""
MOST_BYTES = 16_384
"""Of their keys and values."""
MOST_HITS = 2**31 - 1

PATH, METHOD, ADDRESS, UNIT, DONE = "path", "method", "remote_address", "unit", "done"
REQUESTS = "requests"


class DescriptorError(ValueError):
    """A call that means nothing, in words for the operator of the proxy."""


class Entry(Protocol):
    """`RateLimitDescriptor.Entry`."""

    key: str
    value: str


class Descriptor(Protocol):
    """`envoy.extensions.common.ratelimit.v3.RateLimitDescriptor`."""

    @property
    def entries(self) -> Sequence[Entry]: ...
    @property
    def hits_addend(self) -> Any: ...
    def HasField(self, name: str) -> bool: ...


@dataclass(slots=True)
class Facts:
    """What a call says of a request."""

    method: str = "GET"
    path: str = "/"
    client: str | None = None
    identities: dict[str, str] = field(default_factory=dict)
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    costs: dict[str, int] = field(default_factory=dict)
    is_done: bool = False
    """Whether the work is over, so that its cost is charged whatever there is left."""


def facts_of(
    descriptors: Iterable[Descriptor],
    hits: int,
    identities: Collection[str] | Mapping[str, object],
    units: Collection[str],
) -> Facts:
    """Return what the descriptors of one call say.

    Args:
        descriptors: the call's.
        hits: the call's `hits_addend`; 0 is 1, as the protocol has it.
        identities, units: the names that the policy knows.

    Raises:
        DescriptorError: too much is said, something is said twice and differently, a unit is unknown,
            or a descriptor brings a limit of its own.
    """
    said: dict[str, str] = {}
    costs: dict[str, int] = {}
    entries = size = 0
    for at, descriptor in enumerate(descriptors):
        if at >= MOST_DESCRIPTORS:
            raise DescriptorError(f"more than {MOST_DESCRIPTORS} descriptors in one call")
        if descriptor.HasField("limit"):
            raise DescriptorError(
                f"descriptor {at} brings a limit of its own; limits are in the policy: take `limit` "
                "out of the proxy's configuration"
            )
        unit = REQUESTS
        for entry in descriptor.entries:
            entries += 1
            size += len(entry.key) + len(entry.value)
            if entries > MOST_ENTRIES or size > MOST_BYTES:
                raise DescriptorError(
                    f"more than {MOST_ENTRIES} entries or {MOST_BYTES} characters in one call"
                )
            if entry.key == UNIT:
                unit = entry.value
            elif said.setdefault(entry.key, entry.value) != entry.value:
                raise DescriptorError(f"the descriptors say {entry.key!r} twice, and differently")
        if unit not in units:
            raise DescriptorError(f"no limit counts {unit!r}; there are {', '.join(units)}")
        own = descriptor.hits_addend.value if descriptor.HasField("hits_addend") else hits or 1
        costs[unit] = min(max(costs.get(unit, 0), own), MOST_HITS)
    facts = Facts(costs=costs)
    for key, value in said.items():
        _take(facts, key, value, identities)
    return facts


def _take(facts: Facts, key: str, value: str, identities: Collection[str] | Mapping[str, object]) -> None:
    if key == DONE:
        facts.is_done = True
    elif key in identities:
        facts.identities[key] = value
    elif key == PATH:
        facts.path = value.partition("?")[0] or "/"
    elif key == METHOD:
        facts.method = value.upper()
    elif key == ADDRESS:
        facts.client = value
    else:
        facts.headers.append(
            (key.lower().encode("utf-8", "surrogateescape"), value.encode("utf-8", "surrogateescape"))
        )
