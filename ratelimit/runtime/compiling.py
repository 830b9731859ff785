"""The making of a bound policy's compiled decider, for whoever decides by it: a limiter, a replay."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ratelimit.clock import Clock
from ratelimit.core.clusters.recogniser import Recogniser
from ratelimit.core.decision.schedule import Pace
from ratelimit.core.memory.table import Table
from ratelimit.deciding.bound_policy import BoundPolicy
from ratelimit.deciding.compiled import CompiledDecider
from ratelimit.deciding.denials import Denials
from ratelimit.decision import Reason
from ratelimit.identity.fact import live_context


def compiled_decider(
    bound: BoundPolicy,
    *,
    watch: Recogniser | None,
    table: Table,
    cells: Mapping[tuple[bool, Reason], tuple[int, int]],
    pace: Pace,
    keep_up: Callable[[int], None],
    clock: Clock,
) -> CompiledDecider | None:
    """Return the decider of a policy; None if one of its stages is not compiled."""
    if not all(stage.is_compiled for stage in bound.stages):
        return None
    return CompiledDecider(
        extractor=bound.extractor,
        has_lists=bound.has_lists,
        denials=Denials(bound.compiled, bound.extractor, bound.amendment.acts, table),
        table=table,
        cells=cells,
        watch=watch,
        payer_at=bound.payer_at,
        guards=[stage.guard for stage in bound.stages if stage.guard is not None],
        pace=pace,
        keep_up=keep_up,
        clock=clock,
        context_of=live_context,
    )
