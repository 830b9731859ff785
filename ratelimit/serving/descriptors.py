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
from types import MappingProxyType
from typing import Any, Protocol

from ratelimit.policy.compile.compiled import CompiledPolicy, IdentitySpec
from ratelimit.policy.routing.request_line import read_method, read_target
from ratelimit.policy.routing.target import UNKNOWN_BACK_END, Target
from ratelimit.serving.wire import MOST_BYTES, MOST_DESCRIPTORS, MOST_ENTRIES

MOST_HITS = 2**31 - 1

PATH, METHOD, ADDRESS, UNIT, DONE = "path", "method", "remote_address", "unit", "done"
REQUESTS = "requests"
_ONE_REQUEST = {REQUESTS}
_NONE: Mapping[str, Sequence[str]] = MappingProxyType({})


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
    path: str | Target = "/"
    client: str | None = None
    identities: dict[str, str] = field(default_factory=dict)
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    costs: dict[str, int] = field(default_factory=dict)
    """By unit; empty where the proxy says nothing of them."""
    is_done: bool = False
    """Whether the work is over, so that its cost is charged whatever there is left."""


def facts_of(
    descriptors: Iterable[Descriptor],
    hits: int,
    identities: Collection[str] | Mapping[str, object],
    units: Collection[str],
    alone: Mapping[str, Sequence[str]] = _NONE,
) -> Facts:
    """Return what the descriptors of one call say.

    Args:
        descriptors: the call's.
        hits: the call's `hits_addend`; 0 says nothing.
        identities, units: the names that the policy knows.
        alone: by header field, the identities that it alone says and that nothing else reads.

    Raises:
        DescriptorError: too much is said, something is said twice and differently, a unit is unknown,
            or a descriptor brings a limit of its own.
    """
    said: dict[str, str] = {}
    costs: dict[str, int] = {}
    is_told = hits > 0
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
        own = hits or 1
        if descriptor.HasField("hits_addend"):
            own, is_told = descriptor.hits_addend.value, True
        costs[unit] = min(max(costs.get(unit, 0), own), MOST_HITS)
    # A request that nothing is said of takes what the policy says, as everywhere.
    facts = Facts(costs=costs if is_told or costs.keys() != _ONE_REQUEST else {})
    for key, value in said.items():
        _take(facts, key, value, identities, alone)
    return facts


def _take(
    facts: Facts,
    key: str,
    value: str,
    identities: Collection[str] | Mapping[str, object],
    alone: Mapping[str, Sequence[str]],
) -> None:
    if key == DONE:
        facts.is_done = True
    elif key in identities:
        facts.identities[key] = value
    elif key == PATH:
        facts.path = read_target(value or "/", placement=UNKNOWN_BACK_END)
    elif key == METHOD:
        facts.method = read_method(value)
    elif key == ADDRESS:
        facts.client = value
    elif (names := alone.get(key.lower())) is not None and _is_plain(value):
        for name in names:
            facts.identities.setdefault(name, value)
    else:
        facts.headers.append(
            (key.lower().encode("utf-8", "surrogateescape"), value.encode("utf-8", "surrogateescape"))
        )


def _is_plain(value: str) -> bool:
    """Whether a value means the same by name and in a header."""
    return value.isascii() and value.isprintable() and not value.isspace()


def headers_alone(specs: Sequence[IdentitySpec]) -> dict[str, tuple[str, ...]]:
    """Return by header field the identities that it alone says, where no other identity reads it as well.

    Their value is given by its name, which is decided in one compiled call. What a header may not have in it
    stays a header: that is looked at where headers are read.
    """
    readers: dict[str, list[IdentitySpec]] = {}
    for spec in specs:
        sources = [*spec.sources, *([] if spec.cache is None else [spec.cache.key])]
        for source in sources:
            if source.kind == "header":
                readers.setdefault(source.name, []).append(spec)
    return {
        name: tuple(spec.name for spec in found)
        for name, found in readers.items()
        if all(len(spec.sources) == 1 and not spec.sources[0].form and spec.cache is None for spec in found)
    }


def headers_looked_at(compiled: CompiledPolicy) -> frozenset[str] | None:
    """Return the header fields that a decision by a policy can depend on; None where it may be any.

    A resolver, an estimate and an application's step-up see all of a request.
    """
    sources = [source for spec in compiled.identities for source in spec.sources]
    if any(source.kind == "resolver" for source in sources) or any(
        rule.metering is not None or rule.action == "challenge" or "challenge" in rule.ladder
        for rule in compiled.rules
    ):
        return None
    fields = {source.name.lower() for source in sources if source.kind == "header"}
    # Cookies have one field, proxies theirs, and correlation looks at a browser's origin.
    proxies = {compiled.trust.header, "x-forwarded-for", "forwarded"}
    return frozenset(fields | proxies | {"cookie", "origin"})
