"""What is known of a kind of request before its requests come."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from json import dumps
from typing import Any

from ratelimit.deciding.route_plan import RoutePlan
from ratelimit.replay.memo import Memo
from ratelimit.traces import Fields
from ratelimit.traces.plain import column


class Prepared:
    """A plan, how records' costs are found, and how its refusals are counted and written."""

    __slots__ = ("challenges", "costs", "fixed_costs", "per", "plan", "refusals")

    def __init__(self, plan: RoutePlan, fields: Fields) -> None:
        self.plan = plan
        self.fixed_costs: Sequence[int] = tuple(rule.estimate for rule in plan.rules)
        units = [(at, fields.attribute.get(rule.unit)) for at, rule in enumerate(plan.rules)]
        said = [(at, attribute) for at, attribute in units if attribute is not None]
        self.costs = Costs(self.fixed_costs, said) if said else None
        """What each record takes; None when that is always the same."""
        self.per = [rule.per for rule in plan.rules]
        self.refusals = [prefix("refuse", rule.name) for rule in plan.rules]
        self.challenges = [prefix("challenge", rule.name) for rule in plan.rules]


class Costs:
    """What each rule takes of each record; the estimate, where a record does not say.

    Args:
        estimates: of all rules.
        units: rules by their places, each with the attribute that says how much a record took.
    """

    __slots__ = ("_known", "attributes")

    def __init__(self, estimates: Sequence[int], units: list[tuple[int, str]]) -> None:
        self.attributes = tuple(dict.fromkeys(attribute for _, attribute in units))
        places = [(at, self.attributes.index(attribute)) for at, attribute in units]

        def amounts(said: tuple[int | None, ...]) -> Sequence[int]:
            found = list(estimates)
            for at, place in places:
                amount = said[place]
                if amount is not None:
                    found[at] = amount
            return found

        self._known = Memo(amounts)

    def __getitem__(self, said: tuple[int | None, ...]) -> Sequence[int]:
        """Return the costs of a record, by what it says for `attributes`."""
        found: Sequence[int] = self._known[said]
        return found


def costs_of(kinds: Sequence[Prepared | None], records: Sequence[Any]) -> list[Sequence[int] | None]:
    """Return what each record takes; None where that is what its kind takes by default."""
    said: dict[tuple[str, ...], list[tuple[int | None, ...]]] = {}

    def of(costs: Costs) -> list[tuple[int | None, ...]]:
        if costs.attributes not in said:
            columns = [column(records, attribute) for attribute in costs.attributes]
            said[costs.attributes] = list(zip(*columns, strict=True))
        return said[costs.attributes]

    first = kinds[0]
    if kinds.count(first) == len(kinds):
        if first is None or first.costs is None:
            return [None] * len(kinds)
        return list(map(first.costs.__getitem__, of(first.costs)))
    return [
        None if kind is None or kind.costs is None else kind.costs[of(kind.costs)[at]]
        for at, kind in enumerate(kinds)
    ]


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


def prefix(action: str, limit: str) -> bytes:
    """Return the line of a limit's action up to the seconds to wait."""
    return f'{{"action": "{action}", "limit": {dumps(limit)}, "retry_after": '.encode()


def degraded(limit: str, retry_after_ns: int) -> bytes:
    """Return the line of a request that passes with less."""
    return prefix("degrade", limit) + seconds(retry_after_ns) + REFUSAL_END


def let_wait(action: str, limit: str, waited_ns: int) -> bytes:
    """Return the line of a request that passed after a wait."""
    return prefix(action, limit) + b'null, "waited": ' + seconds(waited_ns) + REFUSAL_END


def seconds(wait_ns: int) -> bytes:
    """Return nanoseconds as exact decimal seconds; `null` for a wait that cannot help."""
    if wait_ns < 0:
        return b"null"
    whole, rest = divmod(wait_ns, 1_000_000_000)
    return (b"%d.%09d" % (whole, rest)).rstrip(b"0") if rest else b"%d" % whole
