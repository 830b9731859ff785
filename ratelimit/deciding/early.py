"""The limits that can be asked before a request is known in full: before its resolvers, before its body.

Theory of operation. A caller may be above a limit that the head of its request decides. Each of its requests
would otherwise cost a look-up in a database, or the memory of a body, before it is refused. So such limits
are looked at first, by the same counters. If one of them refuses, it is decided so, counted and answered as
by any limit. If none does, nothing was charged: the decision that follows asks all limits and charges all or
none.

A limit can be asked early if its refusal is the last word and if later knowledge cannot make it another one.
So limits in shadow, and those that let a request wait, degrade or challenge it, take no part. Neither do
those by an identity or a number that a resolver may give, or by a cluster that depends on one, nor those of
certain models, nor allowances and what is beyond them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from ratelimit.identity.fact import ABSENT
from ratelimit.policy.compile.compiled import CompiledPolicy, LimitRule, LimitSpec

ALL_KNOWN: frozenset[int] = frozenset()
"""In place of `EarlyLimits.late` once resolvers have answered."""


class EarlyLimits:
    """The rules of a policy that can be asked early.

    Args:
        compiled: the policy.
        allowed: positions of identities that the operator's acts put on the allow list.
    """

    __slots__ = ("_rules", "has_head", "late")

    def __init__(self, compiled: CompiledPolicy, allowed: Collection[int] = ()) -> None:
        self._rules = compiled.rules
        self.late = _late_positions(compiled)
        """Positions of identities that are not known before resolvers have answered."""
        listed = {position for position, _ in compiled.allow.values} | set(allowed)
        self.has_head = bool(self.late) and self.late.isdisjoint(listed)
        """True if anything can be asked before resolvers. Not if they may find a caller on the allow list."""

    def limits(self, limits: Iterable[LimitSpec], late: frozenset[int]) -> list[LimitSpec]:
        """Return those limits with a customer's plan that is known."""
        return [limit for limit in limits if limit.tier_identity not in late]

    def rules(self, indices: Iterable[int], late: frozenset[int]) -> tuple[int, ...]:
        """Return those rules that can be asked while these positions are not known."""
        return tuple(index for index in indices if _is_early(self._rules[index], late))

    def awaits_body(self, limits: Iterable[LimitSpec]) -> bool:
        """Return whether a body may be read for any of these limits."""
        return any(self._rules[index].metering is not None for limit in limits for index in _all_rules(limit))

    def asks_any(self, limits: Iterable[LimitSpec], late: frozenset[int]) -> bool:
        """Return whether any rule of these limits can be asked, whatever the customer's plan."""
        return any(self.rules(_all_rules(limit), late) for limit in limits)

    def without_late(self, row: Sequence[int]) -> list[int]:
        """Return a row without what resolvers have yet to say: no stand-in may be taken for it."""
        return [ABSENT if at in self.late else identity for at, identity in enumerate(row)]


def _all_rules(limit: LimitSpec) -> list[int]:
    return [*limit.rules, *(index for indices in limit.tiers.values() for index in indices)]


def _is_early(rule: LimitRule, late: frozenset[int]) -> bool:
    return (
        rule.is_enforced
        and not rule.is_exposure  # which counts what a body declares
        and rule.on_refusal == ("refuse",)
        and all(spec.is_final for spec in rule.specs)
        and not (rule.metering is not None and rule.metering.models)
        and late.isdisjoint((*rule.per, rule.member, rule.tier_identity))
        and all(late.isdisjoint(spec.positions) for spec in rule.specs)
    )


def _late_positions(compiled: CompiledPolicy) -> frozenset[int]:
    late = {
        spec.index for spec in compiled.identities if any(source.record.is_asked for source in spec.sources)
    }
    spec = compiled.correlation
    if spec is not None and late & spec.positions:
        # An account's cluster follows from these.
        late |= {compiled.young, compiled.actor, compiled.likely, compiled.cluster} - {-1}
    return frozenset(late)
