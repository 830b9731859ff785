"""Differences between two policy files as written: limits that came, went or changed."""

from __future__ import annotations

from dataclasses import dataclass

from ratelimit.cli.check import covers, details
from ratelimit.inspection import formatting
from ratelimit.policy.compile.compiled import CompiledPolicy, LimitRule


@dataclass(frozen=True, slots=True)
class Written:
    """One limit, or one tier of it, before and after; None where it is not there."""

    limit: str
    was: str | None
    now: str | None


def written(old: CompiledPolicy, new: CompiledPolicy) -> list[Written]:
    """Return the limits that are not the same in both, in the order of the new policy."""
    before, after = _phrases(old), _phrases(new)
    names = dict.fromkeys([*after, *before])
    return [
        Written(name, before.get(name), after.get(name))
        for name in names
        if before.get(name) != after.get(name)
    ]


def _phrases(policy: CompiledPolicy) -> dict[str, str]:
    return {_title(rule): _phrase(rule, policy) for rule in policy.rules if not rule.is_beside}


def _title(rule: LimitRule) -> str:
    return rule.name if rule.tier is None else f"{rule.name}, tier {rule.tier}"


def _phrase(rule: LimitRule, policy: CompiledPolicy) -> str:
    whose = formatting.as_said(formatting.per(rule, policy))
    parts = [
        f"{formatting.rate_of(rule, policy)}, for {'' if whose == 'everyone' else 'each '}{whose}",
        rule.algorithm,
        *details(rule, policy),
    ]
    if (mode := formatting.mode(rule)) != "enforce":
        parts.append(mode)
    return f"{'; '.join(parts)}; {covers(rule, policy)}"
