"""A raised limit: what follows for the callers that it refused, from their counts alone.

Hosts keep how often a limit refused a caller and within what time, and not each request. That is enough for
two bounds, whatever the order of the requests was:

- Who was refused at most as often as the limit holds more at once (a bucket), or has more a period (a
  window), passes: even all refusals together are no more than what was added.
- Who was refused more often than the raised limit admits in all within that time is refused still; of a
  bucket, who was refused more often than the raised one can admit beyond what was admitted.

For callers in between it depends on when each request came, which a replay of a log knows. The same holds
for a caller whose refusals go on for half an hour: from then on hosts keep their rate, and not all of them.

Of refusals there is a bound for each caller, and so for all: `passing_of`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ratelimit.algorithms import REFILLED
from ratelimit.inspection import formatting
from ratelimit.inspection.hosts.moment import Refused, over_hosts
from ratelimit.inspection.hosts.refused import of_tier
from ratelimit.policy.compile.compiled import CompiledPolicy, LimitRule
from ratelimit.stores.acts.act import Act
from ratelimit.stores.shed import MOST_LINES

TIMES = 2.0
"""A limit is looked at as if it were raised so many times, unless the operator says another factor."""
MOST_TIMES = 1000
WHOLE_NS = 1800 * 10**9
"""Refusals of so long at most are counted whole: see `core.memory.refusals`."""
_WINDOWS = frozenset({"fixed-window", "sliding-window", "sliding-log"})


@dataclass(frozen=True, slots=True)
class RaiseForecast:
    """The callers that a limit refused, by what it would do with the same requests if it were raised."""

    rule: LimitRule
    """The limit with its raised numbers."""
    callers: int
    passing: int
    """Callers that it would have refused nothing."""
    staying: int
    """Callers that it would still have refused."""
    refusals: int
    """The refusals of these callers."""
    least: int
    """The fewest of these that would have passed."""
    most: int
    """The most of these that would have passed."""

    @property
    def says_something(self) -> bool:
        """Whether anything follows from counts."""
        return bool(self.passing or self.staying or self.least or self.most < self.refusals)

    @property
    def name(self) -> str:
        """The limit's, with the tier whose numbers these are."""
        return of_tier(self.rule.name, self.rule.tier or "")

    @property
    def words(self) -> str:
        """It in one sentence."""
        parts = self._verdicts
        if self.passing < self.callers:
            of = f"its {formatting.count(self.refusals, 'refusal')} within the last hour"
            parts.append(f"{_bounds(self.least, self.most, self.refusals)} of {of} would have passed")
        return f"`{self.name}` at {formatting.rate(self.rule)}: {'; '.join(parts)}"

    @property
    def _verdicts(self) -> list[str]:
        """What is known of callers, in one part; none if there is one caller and nothing is known of it."""
        depends = self.callers - self.passing - self.staying
        if self.callers == 1:
            if depends:
                return []
            return [f"its one refused caller would {'pass' if self.passing else 'still be refused'}"]
        parts = [
            words
            for number, words in (
                (self.passing, f"{self.passing:,} would pass"),
                (self.staying, f"{self.staying:,} would still be refused"),
                (depends, f"for {depends:,} it depends on when they asked"),
            )
            if number
        ]
        return [f"of {self.callers:,} refused callers {', '.join(parts)}"]

    def as_json(self) -> dict[str, Any]:
        """Return it for machines."""
        return {
            "limit": self.rule.name,
            "tier": self.rule.tier,
            "at": formatting.rate(self.rule),
            "callers": self.callers,
            "would_pass": self.passing,
            "would_be_refused": self.staying,
            "refusals": self.refusals,
            "would_pass_at_least": self.least,
            "would_pass_at_most": self.most,
        }


@dataclass(frozen=True, slots=True)
class Raising:
    """The limits of which it is said what they would do if they were raised, and why not of others."""

    found: Sequence[RaiseForecast] = ()
    """Those first that refuse most callers."""
    unsaid: Sequence[str] = ()
    """Why nothing is said of the other limits that refused callers, in a line each."""


def raised(rule: LimitRule, refused: Sequence[Refused], times: float = TIMES) -> RaiseForecast:
    """Return what a limit at higher numbers would do with callers that it refused.

    Args:
        rule: the limit, or one of its tiers; its only number, in requests.
        refused: its refusals over all hosts, one of each caller.
        times: how often its numbers; more than 1.
    """
    quota, burst = round(times * rule.quota), round(times * rule.burst)
    wider = replace(rule, quota=quota, burst=burst)
    counted = [each for each in refused if each.last_ns - each.since_ns < WHOLE_NS]
    passing = sum(each.refused <= burst - rule.burst for each in counted)
    staying = sum(each.refused - each.uncertain > _most(rule, wider, each) for each in counted)
    bounds = [passing_of(rule, wider, each) for each in refused]
    least, most = sum(each for each, _ in bounds), sum(each for _, each in bounds)
    return RaiseForecast(
        wider, len(refused), passing, staying, sum(each.refused for each in refused), least, most
    )


def passing_of(rule: LimitRule, wider: LimitRule, refused: Refused) -> tuple[int, int]:
    """Return how many refusals of one caller would have passed at higher numbers: at least, and at most.

    Args:
        rule: the limit that refused it, with the numbers that it had.
        wider: the same with higher ones.
        refused: its refusals, over all hosts.
    """
    if refused.last_ns - refused.since_ns >= WHOLE_NS:
        # The beginning may be forgotten, and what a larger bucket had spent by then.
        return 0, refused.refused
    surely = min(refused.refused - refused.uncertain, wider.burst - rule.burst)
    return surely, min(refused.refused, int(_most(rule, wider, refused)))


def _bounds(least: int, most: int, total: int) -> str:
    """Return in words how many of some refusals would have passed."""
    if least == most:
        return "all" if least == total else f"{least:,}" if least else "none"
    bounds = [f"at least {least:,}"] if least else []
    bounds += [f"at most {most:,}"] if most < total or not least else []
    return " and ".join(bounds)


def passing_words(
    compiled: CompiledPolicy, rule: LimitRule, wider: LimitRule, refused: Sequence[Refused]
) -> str:
    """Return what of a caller's refusals by one limit would have passed at higher numbers; empty for none.

    Args:
        compiled: the policy.
        rule: the limit that refused it, with the numbers that it had all the time.
        wider: the same with higher ones.
        refused: what hosts told of this caller and this limit.
    """
    total = sum(each.refused for each in refused)
    if not total or wider.quota <= rule.quota:
        return ""
    of = f"of these at {formatting.rate(wider)}"
    is_leased = compiled.remote is not None and compiled.remote.mode == "leased"
    why = "hosts lease units" if is_leased else _unsaid([rule])
    if why or len({(each.tier, each.in_shadow) for each in refused}) > 1:
        return f"{of}: counts do not tell{f', as {why}' if why else ''}"
    (one,) = over_hosts(refused)
    least, most = passing_of(rule, wider, one)
    if (least, most) == (0, total):
        return f"{of}: counts do not tell, as refusals go on for half an hour"
    by = "" if least == most else ", by when it asked"
    return f"{of} {_bounds(least, most, total)} would have passed{by}"


def _most(rule: LimitRule, wider: LimitRule, refused: Refused) -> float:
    """Return the most that a raised limit can admit of what was refused of a caller.

    Were requests divisible, what a bucket admits would be concave in its size: one of `times` the size
    admits at most so many times as much. The limit itself admitted no more than its rate, as it refused at
    both ends. At the beginning the larger one may have all that it holds. And a bucket that refuses with a
    part of a request left may lose that part, once for each time in which it fills.
    """
    # Times are whole seconds, each up to a second early.
    periods = (refused.last_ns - refused.since_ns + 2 * 10**9) / rule.period_ns
    if rule.algorithm not in REFILLED:
        return wider.quota * (periods + 2)  # a window that was begun before, and one that goes on
    came = rule.quota * periods
    times = max(wider.quota / rule.quota, wider.burst / rule.burst)
    beyond = (times - 1) * (came + 1) + times * (rule.burst + 1 + came / rule.burst)
    return min(wider.burst + wider.quota * periods, beyond)


def raised_of(
    compiled: CompiledPolicy,
    found: Sequence[Refused],
    log: Iterable[Act] = (),
    times: float = TIMES,
    limit: str | None = None,
) -> Raising:
    """Return it of each limit of which something can be said, and of the others why not.

    It is said of a limit, or of each of its tiers, with one number for all callers, in requests, that is
    counted by a bucket or a window, and not taken in leases. Nothing is said where a host answered with as
    many refusals as it has room for: there may be more.

    Args:
        compiled: the policy.
        found: all refusals that hosts told of, over hosts.
        log: the operator's acts; a caller that any gave a number of its own is left out, and so is one
            that was refused by several tiers, or in shadow as well.
        times: how often its numbers each is looked at with.
        limit: of which alone it is said; None for all.
    """
    own = {one for act in log if act.of.is_of_budget for one in act.accounts}
    rules: dict[tuple[str, str], list[LimitRule]] = {}
    for rule in compiled.rules:
        if not rule.is_beside:
            rules.setdefault((rule.name, rule.tier or ""), []).append(rule)
    by_limit: dict[tuple[str, str], list[Refused]] = {}
    modes: dict[tuple[str, int], set[tuple[str, bool]]] = {}
    for each in found:
        if not each.act and (each.limit, each.tier) in rules and limit in (None, each.limit):
            by_limit.setdefault((each.limit, each.tier), []).append(each)
            modes.setdefault((each.limit, each.hash), set()).add((each.tier, each.in_shadow))
    hosts = Counter(host for each in found for host in each.host.split(", "))
    why = ""
    if compiled.remote is not None and compiled.remote.mode == "leased":
        why = "hosts lease units, so counts of refusals do not say what it would admit"
    elif any(number >= MOST_LINES for number in hosts.values()):
        why = f"a host answered with {MOST_LINES} refusals, which is all it has room for"
    wider, reasons = [], dict[str, list[str]]()
    for name, several in by_limit.items():
        counted = [
            each for each in several if each.hash not in own and len(modes[each.limit, each.hash]) == 1
        ]
        said = why or _unsaid(rules[name])
        if not said and not counted:
            said = "all callers that it refused had other numbers as well"
        one = None if said else raised(rules[name][0], counted, times)
        if one is not None and one.says_something:
            wider.append(one)
            continue
        said = said or "that depends on when each caller asked"
        reasons.setdefault(said, []).append(f"`{of_tier(*name)}`")
    unsaid = [
        f"Counts do not tell what other numbers of {', '.join(names)} would do: {said}."
        for said, names in reasons.items()
    ]
    return Raising(sorted(wider, key=lambda each: -each.callers), unsaid)


def _unsaid(rules: Sequence[LimitRule]) -> str:
    """Return why counts of refusals do not say what a limit would do at other numbers; empty if they do."""
    rule = rules[0]
    if len(rules) > 1:
        return "it has several rates"
    if rule.is_clustered:
        return "it counts actors, whose accounts change"
    if rule.unit != "requests" or rule.estimate != 1 or rule.metering is not None:
        return f"it counts {rule.unit}, of which requests take different numbers"
    if rule.specs:
        return "callers have numbers of their own, or it changes with load or conduct"
    if rule.calendar is not None or rule.algorithm not in (*_WINDOWS, "token-bucket"):
        return "they do so of buckets and plain windows alone"
    return ""
