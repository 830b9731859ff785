"""The specs of features: what each read of a limit, and of the file; and what it is given to read them.

A feature's module `compile` may have these functions. `compile_limit(scene, limit, path)` returns its
`RuleSpec` of a limit, `compile_file(scene)` its `FileSpec`; None where the policy does not use it. Problems
and warnings go to `scene.report`. `amount_sources(file)` names what requests say a customer's number by.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from ratelimit.algorithms import AlgorithmName
from ratelimit.facts.numbers import Number
from ratelimit.features.parts import parts
from ratelimit.policy.routing.classes import Marks
from ratelimit.policy.routing.pattern import Pattern
from ratelimit.policy.routing.route import PathReading
from ratelimit.policy.routing.target import Target
from ratelimit.policy.schema.model import Event, Limit, PolicyFile
from ratelimit.policy.schema.problem import Path, Report
from ratelimit.usage.form import TableSpec

S = TypeVar("S")
Statuses = tuple[tuple[int, int], ...]
"""Ranges of HTTP statuses, from the first to the last."""


class Numbers(Protocol):
    """The numbers of one rate: see `expansion.Numbers`."""

    @property
    def algorithm(self) -> AlgorithmName: ...
    @property
    def quota(self) -> int: ...
    @property
    def period_ns(self) -> int: ...
    @property
    def burst(self) -> int: ...


class Rule(Protocol):
    """A rule of a limit, as a feature asks it."""

    def spec(self, kind: type[S]) -> S | None:
        """Return what a feature read of its limit."""
        ...


class RuleSpec:
    """What a feature read of a limit; each of its rules has it. As it is here, it changes nothing."""

    __slots__ = ()
    is_final = True
    """Whether a refusal is the last word. Such a limit can be asked before a request is known in full."""
    varies = False
    """Whether plans may have other numbers for the limit: see `deciding.variant`."""
    looks_at_account = False
    """Whether requests are looked up by their account, whatever limits apply to them."""
    acts = ""
    """In metrics, how a request goes on that had no room; empty: not by this."""
    covers = False
    """Whether a request that it has room for is not asked for by limits that bind what is left over."""
    is_left_over = False
    """Whether it binds only what no such limit covers."""

    @property
    def has_levels(self) -> bool:
        """Whether the feature itself picks among numbers of the limit, an operator's number as well."""
        return False

    @property
    def positions(self) -> frozenset[int]:
        """The identities that it looks at, besides those that the limit counts by."""
        return frozenset()

    @property
    def statuses(self) -> Statuses:
        """The ranges of statuses that are charged; empty: all of them."""
        return ()

    def of_tier(self) -> RuleSpec:
        """Return the same of a rule with the numbers of a customer's plan."""
        return self


class FileSpec:
    """What a feature read of the whole file. As it is here, it needs nothing of a request."""

    __slots__ = ()
    looks_at_account = False
    """Whether requests are looked up by their account, whatever limits apply to them."""
    counts_accounts = False
    """Whether those that limits apply to are."""

    @property
    def numbers(self) -> Mapping[int, Number]:
        """The positions of a customer's own numbers, and what each is."""
        return {}

    @property
    def positions(self) -> set[int]:
        """The identities that it looks at, whatever limits apply."""
        return set()

    def positions_for(self, rules: Iterable[Rule]) -> set[int]:
        """Return the identities that it looks at where these rules apply."""
        return set()

    @property
    def deciding(self) -> tuple[tuple[Path, str, tuple[Pattern, ...], set[int]], ...]:
        """What goes by identities: its place, its name, its requests (empty: all), and the identities."""
        return ()

    def mark(
        self, marks: Marks, event: Event, method: str, target: str | Target, reading: PathReading
    ) -> None:
        """Say what there is to say of all requests of a method and target."""


@dataclass(slots=True)
class Scene:
    """A policy while features read it.

    Args:
        file: the policy.
        positions: the identities that it can name.
        patterns: compiles what a `match` names, and notes what is wrong with it.
        position: finds an identity by its name, -1 for one that is not declared, which it notes.
        report: takes the problems.
        usage_tables: its own forms of answers.
        specs: what features before this one read of the file.
        numbers: those of the limit that is being read, one for each of its rates.
        amounts: see below.
    """

    file: PolicyFile
    positions: Mapping[str, int]
    patterns: Callable[[str | list[str], Path, Report], tuple[Pattern, ...]]
    position: Callable[[str, Path, Report], int]
    report: Report
    usage_tables: Mapping[str, TableSpec] = field(default_factory=dict)
    specs: list[FileSpec] = field(default_factory=list)
    numbers: Sequence[Numbers] = ()
    amounts: Mapping[int, int] = field(default_factory=dict)
    """By the number of a limit, the identity that has a customer's own number of it."""


def found(specs: Sequence[Any], kind: type[S]) -> S | None:
    """Return the spec of a kind among some; None where there is none."""
    return next((spec for spec in specs if isinstance(spec, kind)), None)


def compile_limit(scene: Scene, limit: Limit, path: Path) -> tuple[RuleSpec, ...]:
    """Return what the features read of a limit."""
    makers = [part.compile_limit for part in parts("compile") if hasattr(part, "compile_limit")]
    return tuple(spec for make in makers if (spec := make(scene, limit, path)) is not None)


def amount_sources(file: PolicyFile) -> dict[int, tuple[str, Path]]:
    """Return by the number of a limit the source of a customer's own number, and where it is written."""
    found: dict[int, tuple[str, Path]] = {}
    for part in parts("compile"):
        if hasattr(part, "amount_sources"):
            found |= part.amount_sources(file)
    return found


def leaves_out(file: PolicyFile) -> bool:
    """Return whether a feature asks only some of the limits that apply to a request."""
    return any(part.leaves_out(file) for part in parts("compile") if hasattr(part, "leaves_out"))


def compile_file(scene: Scene) -> tuple[FileSpec, ...]:
    """Return what the features read of the file."""
    for part in parts("compile"):
        spec = part.compile_file(scene) if hasattr(part, "compile_file") else None
        if spec is not None:
            scene.specs.append(spec)
    return tuple(scene.specs)
