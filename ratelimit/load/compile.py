"""`[adaptive]`, one or several: what is wrong with it, and what it compiles to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from ratelimit.load.schema import Adaptive, FileKeys
from ratelimit.policy.compile.compiled import CompiledPolicy
from ratelimit.policy.compile.identities import is_proven
from ratelimit.policy.compile.spec import FileSpec, Scene
from ratelimit.policy.routing.classes import Marks, load_classes
from ratelimit.policy.routing.pattern import Pattern
from ratelimit.policy.routing.route import PathReading
from ratelimit.policy.routing.target import Target
from ratelimit.policy.schema.duration import parse_duration
from ratelimit.policy.schema.model import Event
from ratelimit.policy.schema.problem import Path, Report
from ratelimit.waiting.schema import FileKeys as ClassKeys
from ratelimit.waiting.schema import RequestClass

LEAST_TARGET_NS = 10**7
MOST_TARGET_NS = 10 * 60 * 10**9
WIDE_FLOOR = 4
"""A floor above this part of the ceiling may be more than the back end can do, and is never cut."""
NUMBERS = 3
MOST_PAGES = 64
MOST_WEIGHT = 0.9
"""The part that all classes but the first have at most."""
EVERYTHING = "/*"
DEFAULT_GROUP = "default"
"""What a limit is called that was given no name."""


@dataclass(frozen=True, slots=True)
class ClassSpec:
    """One class: its name and the requests of it."""

    name: str
    patterns: tuple[Pattern, ...]
    """Empty: all requests."""
    when: tuple[tuple[int, tuple[str, ...]], ...] = ()
    """Positions of identities, and the values one of which each has to have."""
    weight: float = 0.0
    """The part of what goes on that it gets while it waits; nothing for the first."""
    path: Path = ()
    """Where it stands in the file."""


@dataclass(frozen=True, slots=True)
class AdaptiveSpec:
    """The facts that a limiter needs; `first_byte_ns` is None where the target is learned."""

    first_byte_ns: int | None
    floor: int
    start: int
    ceiling: int
    shadow: bool
    classes: tuple[ClassSpec, ...]
    patterns: tuple[Pattern, ...] = ()
    """The requests that it is on."""
    excepts: tuple[Pattern, ...] = ()
    """The requests among them that it is not on."""
    reports: tuple[str, ...] = ()
    """Pages of metrics of the servers behind."""
    holds: bool = True
    """True if what the back end has no place for waits in the gateway."""
    name: str = DEFAULT_GROUP
    by_body: bool = False
    """True if a request is as much work as its body is long."""
    per: int = -1
    """The position of the identity whose values have a limit each; -1 for one limit."""
    path: Path = ()
    """Where it stands in the file."""

    @property
    def positions(self) -> set[int]:
        """The identities that the limit and its classes ask for."""
        asked = {position for one in self.classes for position, _ in one.when}
        return asked if self.per < 0 else asked | {self.per}


@dataclass(frozen=True, slots=True)
class LoadSpec(FileSpec):
    """The limits that follow the load, in the order of the file; there is one."""

    limits: tuple[AdaptiveSpec, ...]
    looks_at_account = True

    @property
    def positions(self) -> set[int]:
        """The identities that limits and classes ask for."""
        return set().union(*(spec.positions for spec in self.limits))

    @property
    def deciding(self) -> tuple[tuple[Path, str, tuple[Pattern, ...], set[int]], ...]:
        """The limits and classes that go by identities."""
        return tuple(
            ((*limit.path, "per"), f"`{limit.name}`", limit.patterns, {limit.per})
            for limit in self.limits
            if limit.per >= 0
        ) + tuple(
            ((*one.path, "when"), f"`{one.name}`", one.patterns or limit.patterns, set(dict(one.when)))
            for limit in self.limits
            for one in limit.classes
            if one.when
        )

    def mark(
        self, marks: Marks, event: Event, method: str, target: str | Target, reading: PathReading
    ) -> None:
        """Say which limit requests fall under, and in which classes they may be."""
        if event == "request":
            marks.classes = load_classes(self.limits, reading)(method, target)


def compile_file(scene: Scene) -> LoadSpec | None:
    """Return the compiled limits; None where there is none."""
    limits = _compiled(scene)
    for limit in limits:
        if limit.per >= 0:
            if limit.reports:
                message = "with `per` no page is of one value's back end"
                scene.report.add("adaptive-reports", (*limit.path, "reports"), message)
            _check_proven(scene, limit.per, (*limit.path, "per"))
        for one in limit.classes:
            for position, _ in one.when:
                _check_proven(scene, position, (*one.path, "when"))
    return LoadSpec(limits) if limits else None


def _check_proven(scene: Scene, position: int, path: Path) -> None:
    """Note an identity whose value clients choose."""
    name = next((name for name, at in scene.positions.items() if at == position), "")
    if name in scene.file.identities and not is_proven(scene.file.identities[name]):
        scene.report.add("adaptive-asserted", path, f"`{name}` is what a client writes")


def loads_of(compiled: CompiledPolicy) -> tuple[AdaptiveSpec, ...]:
    """Return the limits that follow the load of a policy, in the order of the file."""
    spec = compiled.spec(LoadSpec)
    return () if spec is None else spec.limits


def _compiled(scene: Scene) -> tuple[AdaptiveSpec, ...]:
    given = scene.file.part(FileKeys).adaptive
    patterns, position, report = scene.patterns, scene.position, scene.report
    listed = scene.file.part(ClassKeys).classes
    classes = compile_classes(listed, ("class",), patterns, position, report)
    if given is None:
        return ()
    if isinstance(given, Adaptive):
        return (_compile(given, ("adaptive",), patterns, position, classes, report),)
    # What is wrong with one that is no table was told already.
    usable = [(index, table) for index, table in enumerate(given) if isinstance(table, Adaptive)]
    _check_names(usable, report)
    return tuple(
        _compile(table, ("adaptive", index), patterns, position, classes, report) for index, table in usable
    )


def _check_names(tables: Sequence[tuple[int, Adaptive]], report: Report) -> None:
    """Say what is wrong with the names of several, and which of them no request can reach."""
    names: set[str] = set()
    for at, (index, table) in enumerate(tables):
        if table.name in names:
            report.add("adaptive-group", ("adaptive", index, "name"), f"there are two called `{table.name}`")
        names.add(table.name)
        if table.match == EVERYTHING and at + 1 < len(tables):
            message = f"`{table.name}` is on all requests, so those after it never apply"
            report.add("adaptive-group", ("adaptive", index, "match"), message)


def _compile(
    table: Adaptive,
    path: Path,
    patterns: Callable[[str | list[str], Path, Report], tuple[Pattern, ...]],
    position: Callable[[str, Path, Report], int],
    classes: tuple[ClassSpec, ...],
    report: Report,
) -> AdaptiveSpec:
    if not (table.name.isascii() and table.name.isprintable()):
        message = f"{table.name!r} has other than printable ASCII characters"
        report.add("adaptive-group", (*path, "name"), message)
    target_ns = _target(table, (*path, "first_byte"), report)
    return AdaptiveSpec(
        target_ns,
        *_bounds(table, (*path, "in_flight"), report),
        table.mode == "shadow",
        _of_group(classes, patterns(table.match, (*path, "match"), report)),
        patterns(table.match, (*path, "match"), report),
        patterns(table.except_, (*path, "except"), report),
        _reports(table, (*path, "reports"), report),
        table.mode != "shed",
        table.name,
        table.work == "body",
        -1 if table.per is None else position(table.per, (*path, "per"), report),
        path,
    )


def _reports(table: Adaptive, path: Path, report: Report) -> tuple[str, ...]:
    pages = (table.reports,) if isinstance(table.reports, str) else tuple(table.reports)
    if len(pages) > MOST_PAGES:
        report.add("adaptive-reports", path, f"{len(pages)} pages are more than {MOST_PAGES}")
        return ()
    for page in pages:
        try:
            parts = urlsplit(page)
            is_address = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except ValueError:
            is_address = False
        if not is_address or not page.isascii() or not page.isprintable() or " " in page:
            report.add("adaptive-reports", path, f"{page!r} is no address of a page")
    return pages


def _bounds(table: Adaptive, path: Path, report: Report) -> tuple[int, int, int]:
    """Return what always has room, what may wait while nothing is known, and the most in flight."""
    if len(table.in_flight) != NUMBERS:
        count = len(table.in_flight)
        report.add("adaptive-bounds", path, f"it has {count} number{'' if count == 1 else 's'}, not three")
        return 1, 1, 1
    floor, start, ceiling = table.in_flight
    if not floor <= start <= ceiling:
        report.add("adaptive-bounds", path, f"{floor}, {start}, {ceiling} do not ascend")
    elif floor > WIDE_FLOOR and WIDE_FLOOR * floor > ceiling:
        report.add("adaptive-floor", path, f"a floor of {floor} is more than a quarter of {ceiling}")
    return floor, start, ceiling


def _target(table: Adaptive, path: Path, report: Report) -> int | None:
    if table.first_byte is None:
        return None
    try:
        target_ns = parse_duration(table.first_byte)
    except ValueError as error:
        report.add("adaptive-target", path, str(error))
        return None
    if not LEAST_TARGET_NS <= target_ns <= MOST_TARGET_NS:
        report.add("adaptive-target", path, "a first byte takes from 10 ms to 10 minutes")
    return target_ns


def _of_group(classes: Sequence[ClassSpec], matched: Sequence[Pattern]) -> tuple[ClassSpec, ...]:
    """Return the classes that requests of one back end can be in: those of others keep no room free here."""
    found = [
        one
        for one in classes
        if not one.patterns or any(mine.meets(theirs) for mine in one.patterns for theirs in matched)
    ]
    return tuple(one if at else replace(one, weight=0.0) for at, one in enumerate(found))


def compile_classes(
    listed: list[RequestClass],
    path: Path,
    patterns: Callable[[str | list[str], Path, Report], tuple[Pattern, ...]],
    position: Callable[[str, Path, Report], int],
    report: Report,
) -> tuple[ClassSpec, ...]:
    """Return the classes of a file; note what is wrong with them."""
    found: dict[str, ClassSpec] = {}
    # What is wrong with one that is no table was told already.
    usable = [(index, one) for index, one in enumerate(listed) if isinstance(one, RequestClass)]
    for index, one in usable:
        place: Path = (*path, index)
        if not (one.name.isascii() and one.name.isprintable()):
            message = f"{one.name!r} has other than printable ASCII characters"
            report.add("adaptive-class", (*place, "name"), message)
        elif one.name in found:
            report.add("adaptive-class", (*place, "name"), f"there are two classes called `{one.name}`")
        if one.match == [] or (one.match is None and not one.when):
            report.add("adaptive-class", (*place, "match"), "`match` names no requests")
        matched = () if one.match is None else patterns(one.match, (*place, "match"), report)
        when = tuple(
            (
                position(name, (*place, "when", name), report),
                (values,) if isinstance(values, str) else tuple(values),
            )
            for name, values in one.when.items()
        )
        found[one.name] = ClassSpec(one.name, matched, when, one.weight / 100 if found else 0.0, place)
    check_weights([each.weight for each in found.values()], path, report)
    return tuple(found.values())


def check_weights(weights: Sequence[float], path: Path, report: Report) -> None:
    """Note weights of classes that leave next to nothing for the first."""
    if sum(weights) > MOST_WEIGHT + 1e-9:
        report.add("class-weights", path, f"they are {sum(weights):.0%} together")


ALL = "all"
"""What the one class of a policy without classes is called."""


def class_names(spec: AdaptiveSpec) -> tuple[str, ...]:
    """Return the names of the classes, in their order."""
    return tuple(one.name for one in spec.classes) or (ALL,)
