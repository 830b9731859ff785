"""A batch of recorded requests, decided one after another by the compiled decider."""

from array import array
from collections.abc import Callable
from typing import Any

from ratelimit.deciding.compiled import CompiledDecider
from ratelimit.deciding.matched import Matched
from ratelimit.deciding.route_plan import RoutePlan
from ratelimit.stores.contract import Outcome

Slowly = Callable[[int, list[int]], tuple[bool, RoutePlan | None, Outcome | None]]
"""Decides a record in Python, given its place and its row, in which the actor is put."""
Refused = list[tuple[int, RoutePlan, Any]]

def decide_batch(
    decider: CompiledDecider,
    matches: list[Matched],
    columns: list[array[int]],
    refusals: array[int],
    times_ns: list[int],
    taken: list[array[int]],
    slowly: Slowly,
    start: int = 0,
    stop: int = -1,
    /,
) -> tuple[Refused, list[int], list[int]]:
    """Decide records one after another, each at its own time, as every door does.

    Return those that limits refused, by place, with the plan and the outcome; the places of those refused
    without limits; and of those admitted of likely members that limits for the certain had no room for.

    Args:
        decider: decides, charges and counts. With an `AtOnce`, the correlator sees each record before.
        matches: what applies to each record.
        columns: of every position of an identity list. Actors are put in; into rows refused, all else that
            was found, too.
        refusals: a bit for each position at which a record lacks an identity on which the policy insists.
        times_ns: when.
        taken: for each unit but requests, what records took; where that is absent, the estimate counts.
        slowly: decides what takes Python.
        start, stop: which records; -1: to the end.
    """

def end_at_once(plan: RoutePlan, outcome: Any, now_ns: int) -> int:
    """Give back what an allowed request holds and has in flight: a record does not say how long it ran."""
