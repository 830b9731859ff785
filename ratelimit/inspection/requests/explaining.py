"""Features' lines of `ratelimit explain`, `check` and `doctor`, in words and as data.

A feature's module `explanation` may have six functions. `rule_words(rule)` and `rule_json(rule)` return
what is to be known of a limit. `looking(policy, store, is_live=…)` is a context in which the feature looks
at one request: it yields a `Looking`. `in_force(policy)` yields what the feature does beside the limits.
`prospects(compiled)` yields what a policy means for an installation that begins, and
`findings(policy, store)` what is found of one that runs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple

from ratelimit.deciding.bound_policy import BoundPolicy
from ratelimit.deciding.matched import Matched
from ratelimit.environment.finding import Finding
from ratelimit.features.parts import parts
from ratelimit.inspection.requests.decision import LimitLine
from ratelimit.policy import Policy
from ratelimit.policy.compile.compiled import CompiledPolicy
from ratelimit.runtime.features import Makers
from ratelimit.stores.contract import Store


class FeatureLine(NamedTuple):
    """What a feature says of a request."""

    name: str
    """What the line begins with, and its key in JSON."""
    words: str | None
    """For people; None: no line."""
    data: Any
    """For machines."""


@dataclass(frozen=True, slots=True)
class Question:
    """The request that is explained, decided by now."""

    bound: BoundPolicy
    matched: Matched
    row: Sequence[int]
    now_ns: int
    limits: Sequence[LimitLine]


class Looking:
    """A feature that looks at a request. As it is here, it says nothing."""

    makers: Makers = MappingProxyType({})
    """Makes its part, where it knows what the workers of this host do."""

    def said(self, question: Question) -> Iterator[FeatureLine]:
        """Yield what there is to say."""
        yield from ()

    @property
    def has_room(self) -> bool:
        """Whether, by what was said, the request would go on."""
        return True


def all_looking(policy: Policy, store: Store, stack: ExitStack, *, is_live: bool) -> list[Looking]:
    """Return the features that look at a request, until the stack is closed.

    Raises:
        StoreError: what this host's workers know cannot be read.
    """
    contexts = [part.looking for part in parts("explanation") if hasattr(part, "looking")]
    return [stack.enter_context(looking(policy, store, is_live=is_live)) for looking in contexts]


def makers_of(each: Sequence[Looking]) -> Makers:
    """Return what makes the parts that know more."""
    found: dict[Any, Any] = {}
    for looking in each:
        found |= looking.makers
    return found


def rule_words(rule: Any) -> list[str]:
    """Return what features say of a rule, each in one phrase."""
    words: list[str] = []
    for part in parts("explanation"):
        words += part.rule_words(rule) if hasattr(part, "rule_words") else []
    return words


def rule_json(rule: Any) -> Mapping[str, Any]:
    """Return the same for machines."""
    said: dict[str, Any] = {}
    for part in parts("explanation"):
        said |= part.rule_json(rule) if hasattr(part, "rule_json") else {}
    return said


def findings(policy: Policy, store: Store | None) -> Iterator[Finding]:
    """Yield what features find on this host; `store`: its workers' memory, None where none is to be seen."""
    for part in parts("explanation"):
        if hasattr(part, "findings"):
            yield from part.findings(policy, store)


def in_force(policy: Policy) -> Iterator[FeatureLine]:
    """Yield what features do beside the limits: a heading, and phrases by question."""
    for part in parts("explanation"):
        if hasattr(part, "in_force"):
            yield from part.in_force(policy)


def prospects(compiled: CompiledPolicy) -> Iterator[str]:
    """Yield what a policy means for an installation that begins, in sentences."""
    for part in parts("explanation"):
        if hasattr(part, "prospects"):
            yield from part.prospects(compiled)
