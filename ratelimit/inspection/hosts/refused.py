"""The callers that a host's limits refuse most, read from the table that its workers share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from ratelimit.core.memory.refusals import refusals_in
from ratelimit.deciding.bound_policy import BoundPolicy
from ratelimit.deciding.denials import DENY_LIST, denied_counters
from ratelimit.environment.spelling import nearest
from ratelimit.inspection import formatting
from ratelimit.inspection.failure import InspectionFailure
from ratelimit.policy.compile.compiled import CompiledPolicy, LimitRule
from ratelimit.policy.compile.identities import INTERNAL
from ratelimit.stores.acts.act import Act
from ratelimit.stores.embedded.store import EmbeddedStore
from ratelimit.worker.refusal_lines import rules_by_note


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
    def refuser(self) -> str:
        """What refused it, as screens have it."""
        return of_tier(self.rule.name, self.rule.tier or "")


def of_tier(limit: str, tier: str) -> str:
    """Return a limit's name, with the tier whose numbers it went by."""
    return f"{limit}, tier {tier}" if tier else limit


@dataclass(frozen=True, slots=True)
class DeniedCaller:
    """One caller that the deny list, or an operator's stop, refused within the last hour."""

    per: str
    """The identity that is listed."""
    hash: int
    refused: int
    uncertain: int
    since_ns: int
    last_ns: int
    given: str | None
    act: str
    """The act that stopped it; empty for the policy's own list."""
    in_shadow: Literal[False] = False
    is_actor: Literal[False] = False

    @property
    def refuser(self) -> str:
        """What refused it, as screens have it."""
        return f"{DENY_LIST}, act {self.act}" if self.act else DENY_LIST


def denied_callers(
    compiled: CompiledPolicy,
    store: EmbeddedStore,
    revealed: Mapping[tuple[int, int], str],
    log: Sequence[Act],
) -> list[DeniedCaller]:
    """Return the callers that the deny list refused, those refused most first.

    Args:
        compiled: the policy that the table's workers run.
        store: their store.
        revealed: values that the operator asks about, by position and hash: see `hashes_of`.
        log: the operator's acts, with those that ended.
    """
    now_ns = store.clock.now_ns()
    positions = {spec.name: spec.index for spec in compiled.identities}
    names = denied_counters(compiled, store.table)
    found = []
    for counter, who, refused, uncertain, since_ns, last_ns, _, mark, _ in refusals_in(store.table, now_ns):
        if counter in names:
            per = names[counter]
            given, act = revealed.get((positions[per], who)), label_of(log, mark)
            found.append(DeniedCaller(per, who, refused, uncertain, since_ns, last_ns, given, act))
    return sorted(found, key=lambda each: (-each.refused, each.hash))


def label_of(log: Sequence[Act], mark: int) -> str:
    """Return the name of the act whose mark refusals were noted with; empty for the policy's own list."""
    return next((act.label for act in log if mark and act.mark == mark), "")


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
    rules = rules_by_note(store.table, compiled.rules)
    found = []
    for counter, who, refused, uncertain, since_ns, last_ns, in_shadow, mark, _ in refusals_in(
        store.table, now_ns
    ):
        known = rules.get((counter, mark))
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
