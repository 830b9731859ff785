"""The names that a policy's identities can be given by in one compiled call."""

from __future__ import annotations

from ratelimit.deciding.bound_policy import BoundPolicy
from ratelimit.deciding.by_name import ADDRESS, RAW, TEXT, NamedGate
from ratelimit.deciding.compiled import CompiledDecider
from ratelimit.deciding.extraction import needed_positions
from ratelimit.facts.numbers import CREATED
from ratelimit.facts.sources import Reading
from ratelimit.policy.compile.compiled import IdentitySpec

_FORMS: dict[Reading, int] = {"address": ADDRESS, "line": TEXT, "state": RAW, "answer": RAW}
"""How a value that is given by its identity's name is read, for each way to a value that has one."""


def named_gate(bound: BoundPolicy, decider: CompiledDecider) -> NamedGate:
    """Return what decides a policy by names."""
    compiled, hasher = bound.compiled, bound.store.hasher
    needed = needed_positions(compiled)
    places = {
        name: (position, hasher.kind_of(name), form)
        for name, position in bound.names.items()
        if position in needed and (form := _form(compiled.identities[position])) is not None
    }
    return NamedGate(
        bound,
        runs_out=bound.until_ns is not None,
        match=bound.match_named,
        requests=bound.requests,
        units=compiled.units,
        places=places,
        created_at=compiled.place_of(CREATED),
        decider=decider,
    )


def _form(spec: IdentitySpec) -> int | None:
    """Return how a value that is given for an identity is read; None where it takes Python to say."""
    if len(spec.sources) != 1:
        return None
    source = spec.sources[0]
    return _FORMS.get(source.record.reading) if source.read_as == "text" else None
