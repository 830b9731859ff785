"""A raised limit: what follows for the callers that it refused, from their counts alone.

Hosts keep how often a limit refused a caller and within what time, and not each request. That is enough for
two bounds, whatever the order of the requests was:

- Who was refused at most as often as the limit holds more at once (a bucket), or has more a period (a
  window), passes: even all refusals together are no more than what was added.
- Who was refused more often than the raised limit admits in all within that time is refused still.

For callers in between it depends on when each request came, which a replay of a log knows. The same holds
for a caller whose refusals go on for half an hour: from then on hosts keep their rate, and not all of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ratelimit.inspection import formatting
from ratelimit.inspection.hosts import Refused
from ratelimit.policy.compile.compiled import CompiledPolicy, LimitRule
from ratelimit.stores.acts.act import Act

MOST_LINES = 256
"""Of one host in an answer: `stores.redis.inquiries` has it, which is not loaded for every policy."""
TIMES = 2
"""A limit is looked at as if it were raised so many times."""
WHOLE_NS = 1800 * 10**9
"""Refusals of so long at most are counted whole: see `core.memory.refusals`."""
_WINDOWS = frozenset({"fixed-window", "sliding-window", "sliding-log"})


@dataclass(frozen=True, slots=True)
class Raised:
    """The callers that a limit refused, by what it would do with the same requests if it were raised."""

    rule: LimitRule
    """The limit with its raised numbers."""
    callers: int
    passing: int
    """Callers of which it would have refused nothing."""
    staying: int
    """Callers that it would have refused still."""

    @property
    def words(self) -> str:
        """It in one sentence."""
        said = f"`{self.rule.name}` at {formatting.rate(self.rule)}: "
        if self.callers == 1:
            return f"{said}its one refused caller would {'pass' if self.passing else 'still be refused'}"
        parts = [
            words
            for number, words in (
                (self.passing, f"{self.passing:,} would pass"),
                (self.staying, f"{self.staying:,} would still be refused"),
                (
                    self.callers - self.passing - self.staying,
                    f"for {self.callers - self.passing - self.staying:,} it depends on when they asked",
                ),
            )
            if number
        ]
        return f"{said}of {self.callers:,} refused callers {', '.join(parts)}"

    def as_json(self) -> dict[str, Any]:
        """Return it for machines."""
        return {
            "limit": self.rule.name,
            "at": formatting.rate(self.rule),
            "callers": self.callers,
            "would_pass": self.passing,
            "would_be_refused": self.staying,
        }


def raised(rule: LimitRule, refused: Sequence[Refused]) -> Raised:
    """Return what a limit at twice its numbers would do with callers that it refused.

    Args:
        rule: the limit; its only number, in requests.
        refused: its refusals over all hosts, one of each caller.
    """
    quota, burst = TIMES * rule.quota, TIMES * rule.burst
    wider = replace(rule, quota=quota, burst=burst)
    counted = [each for each in refused if each.last_ns - each.since_ns < WHOLE_NS]
    passing = sum(each.refused <= burst - rule.burst for each in counted)
    staying = sum(each.refused - each.uncertain > _most(wider, each) for each in counted)
    return Raised(wider, len(refused), passing, staying)


def _most(rule: LimitRule, refused: Refused) -> float:
    """Return the most that a limit can admit of a caller while it was refused."""
    # Times are whole seconds, each up to a second early.
    periods = (refused.last_ns - refused.since_ns + 2 * 10**9) / rule.period_ns
    if rule.algorithm == "token-bucket":
        return rule.burst + rule.quota * periods
    return rule.quota * (periods + 2)  # a window that was begun before, and one that goes on


def raised_of(compiled: CompiledPolicy, found: Sequence[Refused], log: Iterable[Act] = ()) -> list[Raised]:
    """Return it of each limit of which something can be said, those first that refuse most callers.

    That is a limit with one number for all callers, in requests, that is counted by a bucket or a window,
    and not taken in leases. Nothing is said where a host answered with as many refusals as it has room for:
    there may be more.

    Args:
        compiled: the policy.
        found: all refusals that hosts told of, over hosts.
        log: the operator's acts; a caller that any gave a number of its own is left out.
    """
    hosts = Counter(host for each in found for host in each.host.split(", "))
    is_leased = compiled.remote is not None and compiled.remote.mode == "leased"
    if is_leased or any(number >= MOST_LINES for number in hosts.values()):
        return []
    own = {one for act in log if act.of.is_of_budget for one in act.accounts}
    rules: dict[str, list[LimitRule]] = {}
    for rule in compiled.rules:
        if not rule.is_beside:
            rules.setdefault(rule.name, []).append(rule)
    by_limit: dict[str, list[Refused]] = {}
    for each in found:
        if not each.act and each.hash not in own:
            by_limit.setdefault(each.limit, []).append(each)
    wider = [
        raised(rules[name][0], several)
        for name, several in by_limit.items()
        if len(rules.get(name, ())) == 1 and _is_counted(rules[name][0])
    ]
    return sorted((each for each in wider if each.passing or each.staying), key=lambda each: -each.callers)


def _is_counted(rule: LimitRule) -> bool:
    has_plain_cost = rule.unit == "requests" and rule.estimate == 1 and rule.metering is None
    is_plain = rule.calendar is None and not rule.is_clustered and not rule.specs
    return has_plain_cost and is_plain and (rule.algorithm == "token-bucket" or rule.algorithm in _WINDOWS)
