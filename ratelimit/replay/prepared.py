"""Knowledge about a kind of request, prepared before its requests come."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from json import dumps

from ratelimit.challenge.stage import ChallengeStage
from ratelimit.deciding.route_plan import RoutePlan


class Prepared:
    """A plan, what it takes of records, and how its refusals are counted and written."""

    __slots__ = ("challenge", "fixed_costs", "per", "plan", "refusals", "steps", "units")

    def __init__(self, plan: RoutePlan, units: Sequence[str]) -> None:
        self.plan = plan
        self.challenge = plan.find(ChallengeStage)
        """Its limits that challenge; None where none does."""
        self.fixed_costs: Sequence[int] = tuple(rule.estimate for rule in plan.rules)
        """What each rule takes of a record that does not say how much it took."""
        self.units = tuple(units.index(rule.unit) if rule.unit in units else -1 for rule in plan.rules)
        """Which of the units that records tell each rule counts; -1 for none."""
        self.per = [rule.per for rule in plan.rules]
        self.refusals = [prefix("refuse", rule.name) for rule in plan.rules]
        self.steps = [prefix(rule.first, rule.name) for rule in plan.rules]
        """What is written of a request that had no room, by rule."""


UNNAMED = b'"cluster": null, "verdict": null}\n'
ALLOWED = b'{"action": "allow", "limit": null, "retry_after": null, ' + UNNAMED
REFUSED_UNNAMED = b'{"action": "refuse", "limit": null, "retry_after": null, ' + UNNAMED
REFUSAL_END = b", " + UNNAMED
_UNNAMED_BYTES = len(UNNAMED)


def named(line: bytes, cluster: int, *, is_certain: bool) -> bytes:
    """Return a decision's line with its cluster."""
    return line[:-_UNNAMED_BYTES] + ending(cluster, is_certain)


@lru_cache(maxsize=4096)
def ending(cluster: int, is_certain: bool, /) -> bytes:
    """Return how the lines of a cluster's members end."""
    verdict = b"certain" if is_certain else b"likely"
    return b'"cluster": "%016x", "verdict": "%b"}\n' % (cluster, verdict)


@lru_cache(maxsize=4096)
def admitted(cluster: int, is_certain: bool, /) -> bytes:
    """Return the line of a request that passes, of a cluster's member."""
    return named(ALLOWED, cluster, is_certain=is_certain)


def prefix(action: str, limit: str | None) -> bytes:
    """Return the line of a limit's action, or of one by none, up to the seconds to wait."""
    return f'{{"action": "{action}", "limit": {dumps(limit)}, "retry_after": '.encode()


def let_wait(limit: str | None, waited_ns: int) -> bytes:
    """Return the line of a request that passed after a wait for a limit, or held by none."""
    return prefix("wait", limit) + b'null, "waited": ' + seconds(waited_ns) + REFUSAL_END


def seconds(wait_ns: int) -> bytes:
    """Return nanoseconds as exact decimal seconds; `null` for a wait that cannot help."""
    if wait_ns < 0:
        return b"null"
    whole, rest = divmod(wait_ns, 1_000_000_000)
    return (b"%d.%09d" % (whole, rest)).rstrip(b"0") if rest else b"%d" % whole
