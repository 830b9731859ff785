"""Which policies are decided by names in one compiled call, and what that call has to know of them."""

from __future__ import annotations

from collections.abc import Callable

from ratelimit.clock import Clock
from ratelimit.core.decision.schedule import Pace
from ratelimit.core.memory.table import Table
from ratelimit.deciding.bound_policy import BoundPolicy
from ratelimit.deciding.by_name import ADDRESS, RAW, TEXT, NamedGate
from ratelimit.deciding.extraction import needed_positions
from ratelimit.identity.source import form_of
from ratelimit.policy.compile.compiled import IdentitySpec
from ratelimit.telemetry.names import COUNTER_REQUESTS, LIMITED_COLUMNS


def named_gate(
    bound: BoundPolicy, table: Table, pace: Pace, keep_up: Callable[[int], None], clock: Clock
) -> NamedGate | None:
    """Return what decides a policy by names; None where a request's names do not say all.

    So where lists, a path or an account's age have a say.
    """
    compiled, extractor, hasher = bound.compiled, bound.extractor, bound.store.hasher
    reads_paths = any(source.kind == "path" for spec in compiled.identities for source in spec.sources)
    if (
        reads_paths
        or not extractor.is_told_by_names
        or not bound.steps.are_in_the_gate
        or bound.conduct is not None
        or bound.ramps is not None
    ):
        return None
    needed = needed_positions(compiled)
    places = {
        name: (position, hasher.kind_of(name), form)
        for name, position in bound.names.items()
        if position in needed and (form := _form(compiled.identities[position])) is not None
    }
    return NamedGate(
        match=bound.match_named,
        requests=bound.requests,
        places=places,
        scanner=extractor.scanner,
        table=table,
        counter=table.counter(COUNTER_REQUESTS),
        columns=LIMITED_COLUMNS,
        watch=bound.watch,
        pace=pace,
        keep_up=keep_up,
        clock=clock,
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
