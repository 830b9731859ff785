"""The grants of the demo's policy, read from the policy itself."""

from __future__ import annotations

from pathlib import Path

from ratelimit.algorithms import REFILLED
from ratelimit.demo.people import POPULATIONS
from ratelimit.demo.verdict import Grant
from ratelimit.policy import Policy
from ratelimit.policy.compile.compiled import REQUESTS

_MINUTE_NS = 60_000_000_000


def grants_of_policy(path: Path) -> dict[str, Grant]:
    """Return the grant of each limit that is a rate, by the limit's name."""
    grants = {}
    tokens = {population.limit: population.output_tokens for population in POPULATIONS}
    for rule in Policy.load(path).compiled.rules:
        if rule.period_ns and rule.algorithm in REFILLED and not rule.is_beside:
            units = 1 if rule.unit == REQUESTS else tokens.get(rule.name, 1)
            grants[rule.name] = Grant(rule.burst, rule.quota * _MINUTE_NS // rule.period_ns, units)
    return grants
