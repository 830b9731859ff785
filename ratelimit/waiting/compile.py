"""`wait` of a limit, `fair_by` and `[[class]]`: what is wrong with them, and what they compile to."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from ratelimit.environment.spelling import did_you_mean
from ratelimit.features.steps import BY_NAME, LENIENT
from ratelimit.load.compile import LoadSpec
from ratelimit.policy.compile.compiled import CompiledPolicy
from ratelimit.policy.compile.identities import ACCOUNT, BUILT_IN, CLUSTER
from ratelimit.policy.compile.spec import FileSpec, Rule, RuleSpec, Scene, found
from ratelimit.policy.routing.classes import Marks, wait_rank_of
from ratelimit.policy.routing.pattern import Pattern
from ratelimit.policy.routing.route import PathReading
from ratelimit.policy.routing.target import Target
from ratelimit.policy.schema.duration import parse_duration
from ratelimit.policy.schema.model import Event, Limit, PolicyFile
from ratelimit.policy.schema.problem import Path
from ratelimit.waiting.schema import FileKeys, LimitKeys, RequestClass

LEAST_WAIT_NS = 10**6
MOST_WAIT_NS = 10 * 60 * 10**9


@dataclass(frozen=True, slots=True)
class WaitClass:
    """One class of requests that wait."""

    name: str
    patterns: tuple[Pattern, ...]
    weight: float = 0.0
    """The part of what is served that it gets while it waits; nothing for the first."""


@dataclass(frozen=True, slots=True)
class QueueSpec:
    """The way that requests wait.

    `principals`: positions of identities, each entry together. A request takes the share of the first
    entry that it has all of. One that has none takes the share of what its limit counts by.
    """

    per_principal: int
    total: int
    principals: tuple[tuple[int, ...], ...]
    classes: tuple[WaitClass, ...]

    @property
    def positions(self) -> set[int]:
        """All identities it looks at."""
        return {position for together in self.principals for position in together}

    def principal(self, row: Sequence[int], otherwise: Hashable) -> Hashable:
        """Return the principal a request is of: its cluster, or the first identities it has."""
        for together in self.principals:
            if all(row[position] >= 0 for position in together):
                return tuple((position, row[position]) for position in together)
        return otherwise


@dataclass(frozen=True, slots=True)
class WaitSpec(RuleSpec):
    """A limit that lets requests wait for room."""

    wait_ns: int
    """How long a request waits at most."""
    is_final = False
    acts = "wait"


@dataclass(frozen=True, slots=True)
class Queues(FileSpec):
    """How requests wait for limits, and how for the back end; None where they do not."""

    total: int
    """Most requests that wait."""
    position: int
    """The identity that `fair_by` names; -1: it names none."""
    limits: QueueSpec | None
    held: QueueSpec | None

    @property
    def positions(self) -> set[int]:
        """The identities of those that are held, whatever limits apply."""
        return set() if self.held is None else self.held.positions

    @property
    def deciding(self) -> tuple[tuple[Path, str, tuple[Pattern, ...], set[int]], ...]:
        """The shares of what waits."""
        if self.position < 0 or (self.limits is None and self.held is None):
            return ()
        return ((("fair_by",), "`fair_by`", (), {self.position}),)

    def mark(
        self, marks: Marks, event: Event, method: str, target: str | Target, reading: PathReading
    ) -> None:
        """Say in which class requests wait."""
        if self.limits is not None and self.limits.classes:
            marks.wait_rank = wait_rank_of(self.limits.classes, method, target, reading)

    def positions_for(self, rules: Iterable[Rule]) -> set[int]:
        """Return the identities of those that wait for some rules."""
        waits = self.limits is not None and any(map(wait_ns_of, rules))
        return self.limits.positions if self.limits is not None and waits else set()


def wait_ns_of(rule: Rule) -> int:
    """Return how long a request waits for room in a rule, in nanoseconds; 0: not at all."""
    spec = rule.spec(WaitSpec)
    return 0 if spec is None else spec.wait_ns


def queue_of(compiled: CompiledPolicy) -> QueueSpec | None:
    """Return how requests wait for limits; None where no limit lets them."""
    spec = compiled.spec(Queues)
    return None if spec is None else spec.limits


def held_of(compiled: CompiledPolicy) -> QueueSpec | None:
    """Return how they wait for the back end, under a limit that follows the load; None where they do not."""
    spec = compiled.spec(Queues)
    return None if spec is None else spec.held


def compile_limit(scene: Scene, limit: Limit, path: Path) -> WaitSpec | None:
    """Return how long a request waits for room in a limit; None: not at all."""
    wait, report = limit.part(LimitKeys).wait, scene.report
    if wait is None:
        return None
    here = (*path, "wait")
    first = BY_NAME[limit.on_refusal[0]] if limit.on_refusal else None
    if first in LENIENT:
        report.add(
            "limit-conflict", here, f"a limit that {first.verb} lets requests pass without room", "Remove it."
        )
    if limit.distinct is not None:
        report.add("limit-conflict", here, "other requests make no room in a limit on distinct values")
    try:
        wait_ns = parse_duration(wait)
    except ValueError as error:
        report.add("limit-wait", here, str(error))
        return None
    if not LEAST_WAIT_NS <= wait_ns <= MOST_WAIT_NS:
        report.add("limit-wait", here, "a request waits for 1 ms to 10 minutes")
        return None
    return WaitSpec(wait_ns)


def compile_file(scene: Scene) -> Queues:
    """Return how requests wait."""
    fair_by = scene.file.part(FileKeys).fair_by
    return Queues(scene.file.tuning.waiting, scene.positions.get(fair_by or "", -1), *_queues(scene))


def _queues(scene: Scene) -> tuple[QueueSpec | None, QueueSpec | None]:
    file, positions, patterns, report = scene.file, scene.positions, scene.patterns, scene.report
    loads = found(scene.specs, LoadSpec)
    adaptive = () if loads is None else loads.limits  # a single one may have classes
    keys, tuning = file.part(FileKeys), file.tuning
    principals: list[tuple[int, ...]] = [(positions["cluster"] - 2,)]  # of a likely or certain member
    if keys.fair_by is not None:
        position = positions.get(keys.fair_by, -1)
        if position < 0:
            hint = did_you_mean(keys.fair_by, positions)
            named = f"`{keys.fair_by[:64]}` is not declared"
            report.add("identity-unknown", ("fair_by",), named, hint)
        principals.append((position,))
    account = tuple(positions.get(name, -1) for name in _account(file, positions))
    # The address is looked at where limits let requests wait; what is only held goes by known accounts.
    held_by = [*principals, account]
    of_limits = [*held_by, (positions.get("ip", -1),)]
    held = None
    if any(spec.holds for spec in adaptive):
        held = QueueSpec(
            tuning.waiting_each, tuning.waiting, _usable(of_limits if file.limit else held_by), ()
        )
    if all(limit.part(LimitKeys).wait is None for limit in file.limit if isinstance(limit, Limit)):
        unused = (
            ("fair_by",) if keys.fair_by is not None else ("class",) if keys.classes and not adaptive else ()
        )
        if held is None and unused:
            report.add("queue-unused", unused, "no limit has `wait`")
        return None, held
    if not account and keys.fair_by is None:
        report.add("queue-principal", ("fair_by",), "no limit counts by an account")
    classes = tuple(
        WaitClass(
            one.name, patterns(one.match, ("class", at, "match"), report), one.weight / 100 if at else 0.0
        )
        for at, one in enumerate(keys.classes)
        if isinstance(one, RequestClass) and one.match and not one.when
    )
    return QueueSpec(tuning.waiting_each, tuning.waiting, _usable(of_limits), classes), held


def _usable(principals: Sequence[tuple[int, ...]]) -> tuple[tuple[int, ...], ...]:
    return tuple(dict.fromkeys(each for each in principals if each and min(each) >= 0))


def _account(file: PolicyFile, positions: Mapping[str, int]) -> Sequence[str]:
    """Return the identities that make an account; none where all that is counted by is an address.

    The correlation's principal, else the first that a limit counts by, else what is declared as `account`.
    """
    principal = file.correlation.principal
    if principal is not None:
        return [principal] if isinstance(principal, str) else principal
    for limit in file.limit:
        names = limit.names if isinstance(limit, Limit) else []
        named = [
            name for name in names if name in positions and name != CLUSTER and not _is_address(file, name)
        ]
        if named:
            return named[:1]
    return [ACCOUNT] if ACCOUNT in positions and not _is_address(file, ACCOUNT) else []


def _is_address(file: PolicyFile, name: str) -> bool:
    identity = file.identities.get(name, BUILT_IN.get(name))
    return identity is None or "client" in (
        identity.from_ if isinstance(identity.from_, list) else [identity.from_]
    )
