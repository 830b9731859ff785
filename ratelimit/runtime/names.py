"""The names that a policy's identities can be given by in one compiled call."""

from __future__ import annotations

from ratelimit.deciding.bound_policy import BoundPolicy
from ratelimit.deciding.by_name import ADDRESS, RAW, TEXT, NamedGate
from ratelimit.deciding.compiled import CompiledDecider
from ratelimit.deciding.extraction import needed_positions
from ratelimit.facts.numbers import CREATED
from ratelimit.identity.source import form_of
from ratelimit.policy.compile.compiled import IdentitySpec


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
    source = spec.sources[0].as_source()
    if source[0] == "client":
        return ADDRESS
    if form_of(source) != "text":
        return None
    return {"header": TEXT, "state": RAW, "resolver": RAW}.get(source[0])
