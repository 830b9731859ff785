"""The callers that a host's limits refuse most, read from the table that its workers share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ratelimit.core.memory.refusals import refusals_in
from ratelimit.deciding.bound_policy import BoundPolicy
from ratelimit.inspection import formatting
from ratelimit.inspection.failure import InspectionFailure
from ratelimit.policy.compile.compiled import CompiledPolicy, LimitRule
from ratelimit.policy.compile.identities import INTERNAL
from ratelimit.policy.schema.problem import nearest
from ratelimit.stores.embedded.store import EmbeddedStore

MINUTE_NS = 60 * 10**9


@dataclass(frozen=True, slots=True)
class RefusedCaller:
    """One caller that one limit refused within the last hour."""

    rule: LimitRule
    per: str
    """What the limit counts callers by."""
    hash: int
    """The hash that the limit counts this caller by; of several identities, their key."""
    refused: int
    """The number of times that it was refused since `since_ns`."""
    uncertain: int
    """How many of these may be other callers'."""
    since_ns: int
    last_ns: int
    given: str | None
    """The value that the operator asked about, if this is it."""
    in_shadow: bool = False
    """True if the limit would have refused it, and did not: in shadow, or not enforced for this caller."""

    @property
    def is_actor(self) -> bool:
        """True if it is a cluster, by what limits count it by."""
        return self.rule.is_clustered and len(self.rule.per) == 1

    @property
    def a_minute(self) -> float:
        """Refusals a minute, over the time they were counted."""
        return self.refused * MINUTE_NS / max(MINUTE_NS, self.last_ns - self.since_ns)


def refused_callers(
    compiled: CompiledPolicy,
    store: EmbeddedStore,
    revealed: Mapping[tuple[int, int], str],
) -> list[RefusedCaller]:
    """Return the callers that were refused, those refused most first; then those of limits in shadow.

    Args:
        compiled: the policy that the table's workers run.
        store: their store.
        revealed: values that the operator asks about, by position and hash: see `hashes_of`.
    """
    now_ns = store.clock.now_ns()
    rules: dict[int, LimitRule] = {}
    for rule in compiled.rules:
        rules.setdefault(store.table.counter(rule.counter_name), rule)
    found = []
    for counter, who, refused, uncertain, since_ns, last_ns, in_shadow in refusals_in(store.table, now_ns):
        known = rules.get(counter)
        if known is None:  # a limit that the policy has no more
            continue
        given = revealed.get((known.per[0], who)) if len(known.per) == 1 else None
        per = formatting.per(known, compiled)
        found.append(RefusedCaller(known, per, who, refused, uncertain, since_ns, last_ns, given, in_shadow))
    return sorted(found, key=lambda each: (each.in_shadow, -each.refused, each.rule.index, each.hash))


def hashes_of(bound: BoundPolicy, written: Sequence[str]) -> dict[tuple[int, int], str]:
    """Return what values hash to, by the position of an identity and the hash there.

    Args:
        bound: the policy, bound to the store that has the hash key.
        written: `NAME=VALUE`, or a value of whatever identity has it.

    Raises:
        InspectionFailure: an identity that the policy does not have.
    """
    names = {spec.name: spec.index for spec in bound.compiled.identities if spec.name not in INTERNAL}
    found: dict[tuple[int, int], str] = {}
    for text in written:
        name, has_name, value = text.partition("=")
        if has_name and name not in names and name.isidentifier():
            near = nearest(name, names)
            hint = f"Did you mean `{near}`?" if near else f"The policy has {', '.join(names)}."
            raise InspectionFailure(f"`{name}` is no identity of this policy", "call", hint=hint)
        of_one = has_name and name in names
        for each in [name] if of_one else names:
            for hashed in bound.extractor.value_hashes(each, value if of_one else text):
                if hashed >= 0:
                    found[names[each], hashed] = value if of_one else text
    return found
