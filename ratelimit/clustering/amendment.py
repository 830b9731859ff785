"""Additions of the operator's acts to a policy: two lists, and declarations about accounts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ratelimit.algorithms import IN_WORDS
from ratelimit.clustering.declarations import Declared
from ratelimit.policy.compile.compiled import CompiledPolicy, LimitRule
from ratelimit.stores.acts.act import Act

FOREVER_NS = 2**63 - 1
Said = Mapping[int, Mapping[int, Sequence[tuple[int, int]]]]
"""Units, and until when: by position of an identity, and its hash."""


class BudgetAmendment(NamedTuple):
    """What an operator said of one customer's budget."""

    limit: str
    position: int
    hash: int
    units: int
    until_ns: int


@dataclass(frozen=True, slots=True)
class Amendment:
    """The acts in force, in the form that a policy is bound with."""

    acts: tuple[Act, ...]
    allowed: tuple[tuple[int, int], ...]
    """Identities that no limit applies to: positions and hashes."""
    denied: tuple[tuple[int, int], ...]
    """Identities that every request is refused for: positions and hashes. The allowed go first."""
    declared: Declared
    """The knowledge of accounts beside the policy."""
    numbers: tuple[BudgetAmendment, ...] = ()
    """Customers' own numbers; the latest first."""
    more: tuple[BudgetAmendment, ...] = ()
    """Units beyond customers' numbers."""
    compiled: CompiledPolicy | None = None
    """The policy; None where there are no acts."""

    @property
    def positions(self) -> set[int]:
        """The identities that its lists look at."""
        return {position for position, _ in (*self.allowed, *self.denied)}

    def said_of(self, rule: LimitRule) -> tuple[Said, Said]:
        """Return the own numbers of a rule, and the units beyond: by position of an identity, and hash.

        Each is pairs of units, and until when. A number of what the rule counts by goes before one of a payer
        or a sponsor.
        """
        by = rule.per if self.compiled is None else self.compiled.said_by(rule)
        return _of_rule(rule, self.numbers, by), _of_rule(rule, self.more, rule.per)


def _of_rule(rule: LimitRule, told: Sequence[BudgetAmendment], by: tuple[int, ...]) -> Said:
    found: dict[int, dict[int, tuple[tuple[int, int], ...]]] = {}
    if rule.algorithm in IN_WORDS and not rule.is_beside:
        for one in sorted(told, key=lambda one: one.position not in rule.per):
            if one.limit == rule.name and one.position in by:
                by_hash = found.setdefault(one.position, {})
                by_hash[one.hash] = (*by_hash.get(one.hash, ()), (one.units, one.until_ns))
    return found


NO_AMENDMENT = Amendment((), (), (), Declared())


def amendment_of(compiled: CompiledPolicy, acts: Sequence[Act]) -> Amendment:
    """Return what acts in force mean for a policy; an identity that it lacks means nothing."""
    positions = {spec.name: spec.index for spec in compiled.identities}
    allowed: list[tuple[int, int]] = []
    denied: list[tuple[int, int]] = []
    exempt: list[int] = []
    numbers: list[BudgetAmendment] = []
    more: list[BudgetAmendment] = []
    together: list[tuple[int, ...]] = []
    apart: list[tuple[int, ...]] = []
    organisations: list[tuple[tuple[int, ...], ...]] = []
    confirm: dict[int, int] = {}
    clear: dict[int, int] = {}
    for rank, act in enumerate(acts, 1):
        accounts, effect = tuple(act.accounts), act.of.effect
        if effect in ("allowed", "denied"):
            if act.identity in positions:
                listed = allowed if effect == "allowed" else denied
                listed += [(positions[act.identity], account) for account in accounts]
        elif effect in ("numbers", "more"):
            if act.identity in positions:
                until_ns = FOREVER_NS if act.until_ns is None else act.until_ns
                (numbers if effect == "numbers" else more).extend(
                    BudgetAmendment(limit, positions[act.identity], account, units, until_ns)
                    for account in accounts
                    for limit, units in act.numbers.items()
                )
        elif effect == "exempt":
            exempt += accounts
        elif effect == "together":
            together.append(accounts)
        elif effect == "apart":
            apart.append(accounts)
        elif effect == "organisations":
            organisations.append((accounts, tuple(act.payments), tuple(act.networks)))
        elif effect in ("confirm", "clear"):  # the last word counts
            said, before = (confirm, clear) if effect == "confirm" else (clear, confirm)
            said.update(dict.fromkeys(accounts, rank))
            for account in accounts:
                before.pop(account, None)
    declared = Declared(
        tuple(exempt),
        tuple(together),
        tuple(apart),
        confirm,
        clear,
        tuple(organisations),
    )
    return Amendment(
        tuple(acts),
        tuple(allowed),
        tuple(denied),
        declared,
        tuple(reversed(numbers)),
        tuple(more),
        compiled,
    )
