"""Identities are read for what the load limit does with a request, on routes without limits, too."""

from __future__ import annotations

from typing import Any

from tests.load.test_adaptive import Server, go

BY_PLAN = """
version = 1
[store]
memory = "private"
[identities]
account = { from = "header:x-api-key" }
plan = { from = "header:x-plan" }
[adaptive]
first_byte = "1s"
in_flight = [1, 4, 8]
[[class]]
name = "paid"
when = { plan = "pro" }
[[class]]
name = "free"
match = "/*"
"""
LIMITED = (
    BY_PLAN
    + """
[[limit]]
name = "calls"
match = "POST /v1/chat"
per = "account"
rate = "1000/second"
"""
)


def statuses(policy: str, plan: str) -> tuple[list[int], dict[str, int]]:
    """Begin five requests of a plan; return what is told at once, and what was shed."""
    server = Server(policy)
    seen, steps = [], []
    for number in range(5):
        headers: list[Any] = [(b"x-api-key", b"a%d" % number), (b"x-plan", plan.encode())]
        step, sent = server.begin(headers=headers)
        steps.append(step)  # one that is let go of has hung up
        go(step)
        seen.append(sent[0]["status"] if sent else 0)
    return seen, server.limit.state().shed


def test_fault_85_class_by_plan_counts_on_a_route_without_limits():
    """Hazard: identities are read for limits alone, so paying customers are of the last class."""
    assert statuses(BY_PLAN, "pro") == statuses(LIMITED, "pro")
    assert statuses(BY_PLAN, "none") == statuses(LIMITED, "none")
    assert statuses(BY_PLAN, "pro") != statuses(BY_PLAN, "none")
