"""Plans of one caller: which tier's numbers its limits go by, as far as that is known.

A request says its plan, and no counter keeps it. It is known where a person names it, or where a limit with
tiers refused the caller within the last hour: hosts note by which tier's numbers. A refusal by a limit's own
numbers says that the plan is none of that limit's tiers.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from ratelimit.inspection import formatting
from ratelimit.inspection.callers.answers import told_of
from ratelimit.inspection.callers.knowledge import Knowledge
from ratelimit.inspection.hosts.moment import Refused
from ratelimit.policy.compile.compiled import CompiledPolicy, LimitRule


@dataclass(frozen=True, slots=True)
class Plan:
    """The plan that a caller has by one identity."""

    tier: str | None
    """The tier; None where only some are known not to be its own."""
    is_none_of: frozenset[str] = frozenset()
    """The tiers that are not its own."""
    last_ns: int = 0
    """When a limit refused it by this plan; 0 where a person named it."""


@dataclass(frozen=True, slots=True)
class Plans:
    """The plans of one caller, by the position of the identity that says each."""

    found: Mapping[int, Plan] = field(default_factory=dict)
    tiers: Mapping[int, frozenset[str]] = field(default_factory=dict)
    """Of each limit with tiers, by its position in the policy, their names."""

    def own(self, rule: LimitRule) -> str | None:
        """Return the tier that a limit goes by, empty for its own numbers; None where that is not known."""
        plan, tiers = self.found.get(rule.tier_identity), self.tiers.get(rule.limit)
        if tiers is None:
            return ""
        if plan is None:
            return None
        if plan.tier is not None:
            return plan.tier if plan.tier in tiers else ""
        return "" if tiers <= plan.is_none_of else None

    def may_be(self, rule: LimitRule) -> bool:
        """Return whether a rule may be what the caller is counted by."""
        own = self.own(rule)
        return own == (rule.tier or "") if own is not None else not self._is_not(rule)

    def _is_not(self, rule: LimitRule) -> bool:
        plan = self.found.get(rule.tier_identity)
        return plan is not None and rule.tier in plan.is_none_of

    def words(self, rule: LimitRule) -> str:
        """Return since when the plan is known that a limit goes by; empty where nothing is to be said."""
        plan, own = self.found.get(rule.tier_identity), self.own(rule)
        if plan is None or own is None or not plan.last_ns or rule.limit not in self.tiers:
            return ""
        said = f"tier {plan.tier}" if plan.tier is not None else "no tier"
        return f"{said} at its last refusal, {formatting.instant(plan.last_ns)[11:16]} UTC"


def plans_of(
    compiled: CompiledPolicy,
    refused: Iterable[Refused],
    hashes: Collection[int],
    named: Mapping[int, str] | None = None,
) -> Plans:
    """Return the plans of a caller.

    Args:
        compiled: the policy.
        refused: what limits refused within the last hour.
        hashes: what limits count the caller by; refusals of others say nothing of its plan.
        named: by the position of an identity, the plan that a person names.
    """
    tiers: dict[int, set[str]] = {}
    by_name: dict[str, LimitRule] = {}
    for rule in compiled.rules:
        if rule.tier is not None:
            tiers.setdefault(rule.limit, set()).add(rule.tier)
            by_name[rule.name] = rule
    found: dict[int, Plan] = {}
    for each in sorted(refused, key=lambda each: each.last_ns):
        of = by_name.get(each.limit)
        if of is None or each.act or each.hash not in hashes:
            continue
        before = found.get(of.tier_identity, Plan(None))
        is_none_of = frozenset[str]() if each.tier else before.is_none_of | tiers[of.limit]
        is_changed = each.tier in before.is_none_of if each.tier else before.tier in is_none_of
        if is_changed and each.last_ns == before.last_ns:  # which of them came last is not known
            found[of.tier_identity] = Plan(None, last_ns=each.last_ns)
        elif each.tier or is_changed or before.tier is None:
            found[of.tier_identity] = Plan(each.tier or None, is_none_of, each.last_ns)
        else:
            found[of.tier_identity] = Plan(before.tier, is_none_of, before.last_ns)
    found |= {position: Plan(tier) for position, tier in (named or {}).items()}
    return Plans(found, {limit: frozenset(names) for limit, names in tiers.items()})


def noted_plans(known: Knowledge, hashes: Sequence[int]) -> Plans:
    """Return the plans of a caller, as far as hosts noted them with what limits refused of it."""
    if all(rule.tier is None for rule in known.compiled.rules):
        return Plans()
    return plans_of(known.compiled, told_of(known, hashes[:1]).refused, hashes)
