"""The change from the policy in force to a new one, and what becomes of the counters.

Pure: the watching and the swapping are done elsewhere; only `fingerprint` looks
at a file. Counters belong to what a rule counts (its `salt_parts`), not to how much
it allows, so raising or lowering a limit carries them over.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Literal

import msgspec

from ratelimit.algorithms import IN_WORDS, OF_SLOTS, PREPAID
from ratelimit.policy.compile.compiled import CompiledPolicy, IdentitySpec, LimitRule, LimitSpec

Kind = Literal["added", "removed", "raised", "lowered", "changed"]
Counters = Literal["kept", "fresh", "dropped"]

LONGEST = 60
"""Letters of one value."""
_AT_START = ("store", "hashing")
"""Tables that are only read when a process starts."""
_SECRET = ("store", "hashing", "events", "allow", "deny")
"""Keys below which no value is told: passwords, keys, addresses with a secret in them, who customers are."""
_PEOPLE = ("known",)
"""The same, inside a table."""
_NOT_HERE = ("limit", "version")
_OF_RULES = ("name", "per", "rate", "burst", "debt", "tiers", "concurrent", "algorithm", "unit")
"""Keys of a limit that make its rules: of these it is said what they allow."""
_TOP = "the policy"
"""The subject of a change of keys that are in no table."""


@dataclass(frozen=True, slots=True)
class Change:
    """One difference between two policies.

    `subject` is a limit's name, `name (tier …)` for one tier of it, `[table]`, or `the policy` for keys in no
    table. `counters` says what becomes of them: a limit that is added
    or counts something else begins afresh.
    """

    kind: Kind
    subject: str
    counters: Counters
    detail: str = ""

    @property
    def limit(self) -> str:
        """The limit's name; empty for the rest of the file."""
        return (
            ""
            if self.subject.startswith("[") or self.subject == _TOP
            else self.subject.partition(" (tier ")[0]
        )

    def __str__(self) -> str:
        detail = f": {self.detail}" if self.detail else ""
        return f"{self.subject} {self.kind}{detail} (counters {self.counters})"


def fingerprint(path: str | PathLike[str]) -> tuple[int, ...] | None:
    """Return what changes when a file is written or replaced; None while there is none."""
    try:
        seen = Path(path).stat()
    except (OSError, ValueError):  # NUL in a name is the latter
        return None
    # The last is when its owner or its permissions changed: what could not be read may be readable now.
    return (seen.st_dev, seen.st_ino, seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns)


def diff(old: CompiledPolicy, new: CompiledPolicy) -> tuple[Change, ...]:
    """Return all differences that matter to requests, in the new file's order, removals last."""
    before = {limit.name: limit for limit in old.limits}
    after = {limit.name: limit for limit in new.limits}
    changes: list[Change] = []
    for name, limit in after.items():
        if name not in before:
            changes.append(Change("added", name, "fresh"))
        else:
            changes += _limit_changes(before[name], old, limit, new)
    changes += [Change("removed", name, "dropped") for name in before if name not in after]
    changes += _setting_changes(old, new)
    return tuple(changes)


def _limit_changes(
    before: LimitSpec, old: CompiledPolicy, after: LimitSpec, new: CompiledPolicy
) -> list[Change]:
    changes: list[Change] = []
    settings = _described(before, old), _described(after, new)
    differing = [key for key, value in settings[1].items() if settings[0].get(key) != value]
    moved = [name for name in _names(after, new) if _identity(old, name) != _identity(new, name)]
    if differing:
        words = ", ".join(f"{key} {settings[0][key]} → {settings[1][key]}" for key in differing)
        changes.append(Change("changed", after.name, "kept", words))
    if moved:
        words = "identities come from elsewhere: " + ", ".join(moved)
        changes.append(Change("changed", after.name, "fresh", words))
    for tier in dict.fromkeys([None, *before.tiers, *after.tiers]):
        changes += _rule_changes(_rules(before, old, tier), _rules(after, new, tier), after.name, tier)
    return changes


def _rule_changes(
    before: list[LimitRule], after: list[LimitRule], name: str, tier: str | None
) -> list[Change]:
    subject = name if tier is None else f"{name} (tier {tier})"
    old = {rule.salt_parts: rule for rule in before}
    changes: list[Change] = []
    for rule in after:
        known = old.pop(rule.salt_parts, None)
        if known is None:
            changes.append(Change("added", subject, "fresh", _amount(rule)))
            continue
        was, now = _numbers(known), _numbers(rule)
        if was == now:
            continue
        kind: Kind = "changed"
        if all(one >= other for one, other in zip(now, was, strict=True)):
            kind = "raised"
        elif all(one <= other for one, other in zip(now, was, strict=True)):
            kind = "lowered"
        # A block is as large as its quota: another quota is another place.
        counters: Counters = "kept" if rule.algorithm in IN_WORDS else "fresh"
        changes.append(Change(kind, subject, counters, f"{_amount(known)} → {_amount(rule)}"))
    changes += [Change("removed", subject, "dropped", _amount(rule)) for rule in old.values()]
    return changes


def _setting_changes(old: CompiledPolicy, new: CompiledPolicy) -> list[Change]:
    """Return the changes of all keys but those of limits, a table's in one."""
    changes = []
    keys: list[str] = []
    before, after = (msgspec.to_builtins(policy.file) for policy in (old, new))
    for name in sorted(after, key=lambda name: name in _AT_START):
        if name in _NOT_HERE or before[name] == after[name]:
            continue
        if not _has_tables(before[name]) and not _has_tables(after[name]):
            keys += _differences(name, before[name], after[name], name in _SECRET)
            continue
        if before[name] is None or after[name] is None:  # with all defaults it would be a page
            changes.append(Change("added" if before[name] is None else "removed", f"[{name}]", "kept"))
            continue
        words = _differences("", before[name], after[name], name in _SECRET)
        if name in _AT_START:
            words.append("takes effect when the process starts again")
        changes.append(Change("changed", f"[{name}]", "kept", ", ".join(words)))
    if keys:
        changes.insert(0, Change("changed", _TOP, "kept", ", ".join(keys)))
    return changes


def _has_tables(value: object) -> bool:
    several = isinstance(value, list) and any(isinstance(each, Mapping) for each in value)
    return several or isinstance(value, Mapping)


def _differences(path: str, before: object, after: object, is_secret: bool) -> list[str]:
    """Return the keys below a path that differ, each with what it was and what it is."""
    if _has_tables(before) or _has_tables(after):
        was, now = _by_name(before), _by_name(after)
        found: list[str] = []
        for name in dict.fromkeys([*now, *was]):
            if was.get(name) == now.get(name):
                continue
            inner = f"{path}.{name}" if path else name
            hides = is_secret or name in _PEOPLE
            found += _differences(inner, was.get(name), now.get(name), hides)
        return found
    if not is_secret:
        return [f"{path} {_word(before)} → {_word(after)}"]
    if isinstance(before, list | None) and isinstance(after, list | None):
        gone, fresh = set(map(str, before or ())), set(map(str, after or ()))
        return [f"{path} {len(fresh - gone)} added, {len(gone - fresh)} removed"]
    return [f"{path} is another"]


def _by_name(value: object) -> Mapping[str, object]:
    """Return a table by its keys, and several by their names; of one that stood alone its keys, too."""
    if isinstance(value, Mapping):
        return value
    if not isinstance(value, list):
        return {}
    return {
        str(each.get("name") or at) if isinstance(each, Mapping) else str(at): each
        for at, each in enumerate(value, 1)
    }


def _word(value: object) -> str:
    """Return a value as people write it, at most `LONGEST` letters."""
    if isinstance(value, list):
        said = ", ".join(map(str, value)) or "none"
    else:
        said = str(value).lower() if value is None or isinstance(value, bool) else str(value)
    return said if len(said) <= LONGEST else f"{said[: LONGEST - 1]}…"


def _rules(limit: LimitSpec, policy: CompiledPolicy, tier: str | None) -> list[LimitRule]:
    indices = limit.rules if tier is None else limit.tiers.get(tier, ())
    return [rule for index in indices if not (rule := policy.rules[index]).is_beside]


def _names(limit: LimitSpec, policy: CompiledPolicy) -> list[str]:
    return [policy.identities[at].name for at in limit.per]


def _identity(policy: CompiledPolicy, name: str) -> tuple[object, ...]:
    spec: IdentitySpec = policy.identities[policy.identity_index(name)]
    return (spec.sources, spec.missing, spec.v4_prefix, spec.v6_prefix)


def _described(limit: LimitSpec, policy: CompiledPolicy) -> dict[str, str]:
    """Return the keys of a limit but those of which its rules say what changed."""
    written = policy.file.limit[limit.index]
    keys = msgspec.to_builtins(written).items()
    said = {key: _word(value) for key, value in keys if key not in _OF_RULES}
    return {
        **said,
        "tier": _word(written.tier),
        "verdict": _word(next((policy.rules[index].verdict for index in limit.rules), None)),
    }


def _numbers(rule: LimitRule) -> tuple[int, ...]:
    return rule.quota, rule.burst, rule.most_debt


def _amount(rule: LimitRule) -> str:
    if rule.algorithm in PREPAID:
        return f"{rule.quota} in all"
    if rule.algorithm in OF_SLOTS:
        return f"{rule.quota} at once"
    burst = f", burst {rule.burst}" if rule.burst != rule.quota else ""
    debt = "" if rule.debt is None else f", debt {rule.debt}"
    return f"{rule.quota} per {rule.period_ns // 1_000_000_000} s{burst}{debt}"
