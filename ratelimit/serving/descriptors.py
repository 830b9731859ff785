"""Descriptors of one call, and the facts of the request that they stand for.

The rule, which docs/serve.md has for operators:

- `path`, `method` and `remote_address` are what their names say;
- `unit` names what `hits_addend` counts, requests if not said; `done` marks a call at a stream's end;
- `unit` is `status` where the hits of such a call are the status of the answer;
- `request_id` is the same in both calls of a request;
- a key that is one of the policy's identities is that identity;
- any other key is a header field of that name; `upgrade` tells a WebSocket's handshake.

All descriptors of a call are about one request: their facts are taken together. Keys, units and limits are
the operator's, so a mistake in them is an error. Values are mostly a client's. Whatever they hold, a call is
decided: what is no value of an identity is malformed, and the policy says what becomes of that.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from ratelimit.core.request.grammar import canonical, cookie_value
from ratelimit.facts.sources import Reading
from ratelimit.identity.fact import LONGEST_VALUE, UNREADABLE
from ratelimit.policy.compile.compiled import CompiledPolicy, IdentitySpec
from ratelimit.policy.routing.request_line import read_method, read_target
from ratelimit.policy.routing.target import UNKNOWN_BACK_END, Target
from ratelimit.policy.schema.model import Event
from ratelimit.serving.wire import HANDSHAKE

MOST_HITS = 2**31 - 1
LONGEST_REQUEST_ID = 128

PATH, METHOD, ADDRESS, UNIT, DONE, REQUEST = "path", "method", "remote_address", "unit", "done", "request_id"
UPGRADE, WEBSOCKET_KEY = HANDSHAKE
REQUESTS, STATUS = "requests", "status"
_ONE_REQUEST = {REQUESTS}
_NONE: Mapping[str, Sequence[str]] = MappingProxyType({})
Described = tuple[list[tuple[bytes, bytes]], tuple[int, int] | None, int | None]
"""A descriptor: its entries, requests and unit of a limit that it brings, and its own hits."""
Forms = tuple[tuple[Reading, str], ...]
"""Kind and form of each of an identity's sources, where clients write all of them."""
_NO_FORMS: Mapping[str, Forms] = MappingProxyType({})
PLAIN: Forms = (("line", "text"),)


class DescriptorError(ValueError):
    """A mistake in the proxy's configuration, in words for its operator. Nothing of a client's is in them."""


@dataclass(slots=True)
class Facts:
    """The facts of a request in a call."""

    method: str = "GET"
    path: str | Target = "/"
    client: str | None = None
    identities: dict[str, Any] = field(default_factory=dict)
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    costs: dict[str, int] = field(default_factory=dict)
    """By unit; empty where the proxy says nothing of them."""
    is_done: bool = False
    """True if the work is over, so that its cost is charged whatever there is left."""
    status: int | None = None
    """The status of its answer; None where the proxy does not say it."""
    request: str | None = None
    """A name that the request has in each of its calls."""
    event: Event = "request"
    is_contradictory: bool = False
    """True if method, target or address are there twice, and differ: nothing can be matched then."""


def facts_of(
    descriptors: Iterable[Described],
    hits: int,
    identities: Collection[str] | Mapping[str, object],
    units: Collection[str],
    alone: Mapping[str, Sequence[str]] = _NONE,
    forms: Mapping[str, Forms] = _NO_FORMS,
) -> Facts:
    """Return what the descriptors of one call say.

    Args:
        descriptors: the call's.
        hits: the call's `hits_addend`; 0 says nothing.
        identities, units: the names that the policy knows.
        alone: by header field, the identities that it alone says and that nothing else reads.
        forms: by identity, the forms of its values where clients write them.

    Raises:
        DescriptorError: a unit is unknown, or a descriptor brings a limit of its own.
    """
    said: dict[str, list[bytes]] = {}
    told: list[tuple[str, int | None]] = []
    for at, (entries, limit, own) in enumerate(descriptors):
        if limit is not None:
            raise DescriptorError(
                f"descriptor {at} brings a limit of its own; limits are in the policy: take `limit` "
                "out of the proxy's configuration"
            )
        unit = REQUESTS
        for raw, value in entries:
            key = _text(raw)
            if key == UNIT:
                unit = _text(value)
                continue
            values = said.setdefault(key, [])
            if value not in values:
                values.append(value)
        if unit not in units and unit != STATUS:
            raise DescriptorError(
                f"descriptor {at} counts in a unit that no limit has; there are {', '.join(units)}"
            )
        told.append((unit, (hits or None) if own is None else own))
    is_done = DONE in said
    status = None
    if STATUS not in units:
        status = _status([own for unit, own in told if unit == STATUS], is_done=is_done)
        told = [each for each in told if each[0] != STATUS]
    facts = Facts(is_done=is_done, status=status, costs=_costs(told, is_done=is_done))
    for key, values in said.items():
        _take(facts, key, values, identities, alone, forms)
    return facts


def _status(told: Sequence[int | None], *, is_done: bool) -> int | None:
    """Return the status of the answer; None where it is not said.

    Raises:
        DescriptorError: it is said before there is an answer.
    """
    if told and not is_done:
        raise DescriptorError("a descriptor has a status before the answer: give it the key `done`, too")
    return next((each for each in told if each is not None and 100 <= each <= 599), None)


def _costs(told: Sequence[tuple[str, int | None]], *, is_done: bool) -> dict[str, int]:
    costs: dict[str, int] = {}
    for unit, own in told:
        if own is None and is_done and unit != REQUESTS:
            continue  # what it took is not known: the estimate stands
        costs[unit] = min(max(costs.get(unit, 0), 1 if own is None else own), MOST_HITS)
    # A request that nothing is said of takes what the policy says, as everywhere.
    is_told = any(own is not None for _, own in told)
    return costs if is_done or is_told or costs.keys() != _ONE_REQUEST else {}


def _take(
    facts: Facts,
    key: str,
    values: Sequence[bytes],
    identities: Collection[str] | Mapping[str, object],
    alone: Mapping[str, Sequence[str]],
    forms: Mapping[str, Forms],
) -> None:
    value, is_one = values[0], len(values) == 1
    lower = key.lower()
    if key == DONE or (key in identities and not b"".join(values).strip(b" \t")):
        return  # an identity without a value is missing
    if key in identities:
        if not is_one or not _is_value(value, forms.get(key)):
            facts.identities[key] = UNREADABLE
        else:
            facts.identities[key] = _text(value)
    elif key in (PATH, METHOD, ADDRESS):
        facts.is_contradictory |= not is_one
        if key == PATH:
            facts.path = read_target(value or b"/", placement=UNKNOWN_BACK_END)
        elif key == METHOD:
            facts.method = read_method(value)
        else:
            facts.client = _text(value)
    elif key == REQUEST:
        if is_one and 0 < len(value) <= LONGEST_REQUEST_ID:
            facts.request = _text(value)
    elif is_one and (names := alone.get(lower)) is not None and _is_plain(value):
        for name in names:
            facts.identities.setdefault(name, _text(value))
    else:
        facts.headers.extend((lower.encode("utf-8", "surrogateescape"), each) for each in values)
        if lower == WEBSOCKET_KEY or (
            lower == UPGRADE and any(b"websocket" in each.lower() for each in values)
        ):
            facts.event = "connect"


def _text(value: bytes) -> str:
    """Return a text that has the same bytes, whatever they are."""
    return value.decode("utf-8", "surrogateescape")


def _is_plain(value: bytes) -> bool:
    """Return whether a value means the same by name and in a header."""
    if len(value) > LONGEST_VALUE or not value.isascii():
        return False
    return _text(value).isprintable() and not value.isspace()


def _is_value(value: bytes, forms: Forms | None) -> bool:
    """Return whether what is given for an identity is a value of it."""
    if len(value) > LONGEST_VALUE:
        return False
    return forms is None or any(
        cookie_value(value) if reading == "cookie" else canonical(reading, form, value)
        for reading, form in forms
    )


def written_forms(specs: Sequence[IdentitySpec]) -> dict[str, Forms]:
    """Return the forms of the identities that clients write themselves: in headers and cookies alone."""
    return {
        spec.name: tuple((source.record.reading, source.read_as) for source in spec.sources)
        for spec in specs
        if all(source.record.field(source.name) is not None for source in spec.sources)
    }


def headers_alone(specs: Sequence[IdentitySpec]) -> dict[str, tuple[str, ...]]:
    """Return by header field the identities that it alone says, where no other identity reads it as well.

    Their value is given by its name, which is decided in one compiled call. What a header may not have in it
    stays a header: that is looked at where headers are read.
    """
    readers: dict[str, list[IdentitySpec]] = {}
    for spec in specs:
        sources = [*spec.sources, *([] if spec.cache is None else [spec.cache.key])]
        for source in sources:
            if source.record.reading == "line":
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
    if any(source.record.is_asked for source in sources) or any(
        rule.metering is not None or rule.asks for rule in compiled.rules
    ):
        return None
    fields = {field for source in sources if (field := source.record.field(source.name)) is not None}
    # Cookies have one field, proxies theirs, and correlation looks at a browser's origin.
    proxies = {compiled.trust.header, "x-forwarded-for", "forwarded"}
    return frozenset(fields | proxies | {"cookie", "origin"})
