"""An explanation of shedding: whether a request would be shed before others, and why. It takes no room."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from ratelimit.core.sharing.heaviest import Heaviest
from ratelimit.core.sharing.inflight import InFlight
from ratelimit.core.sharing.shares import Shares
from ratelimit.core.sharing.steering import Steering
from ratelimit.deciding.bound_policy import BoundPolicy, Matched
from ratelimit.inspection import formatting
from ratelimit.inspection.requests.explaining import FeatureLine, Looking, Question
from ratelimit.load.compile import DEFAULT_GROUP, AdaptiveSpec, ClassSpec, class_names, loads_of
from ratelimit.load.memory import SharedInFlight
from ratelimit.load.model.holding import longest_ns
from ratelimit.load.model.shedding import ShedPriority
from ratelimit.load.schema import Adaptive, FileKeys
from ratelimit.load.shed import named, reason
from ratelimit.load.shed_priority import lottery_key, shed_priority_of
from ratelimit.load.stage import LoadLimits
from ratelimit.load.target import has_target, settings_of
from ratelimit.load.values import MOST_VALUES, known_values, value_name
from ratelimit.policy import Policy
from ratelimit.policy.compile.compiled import CompiledPolicy
from ratelimit.stores.contract import Store
from ratelimit.stores.factory import counting_table, wish_of
from ratelimit.waiting.compile import held_of

LEAST_TOLD = 0.005
"""A part of the queue that rounds to nothing is none."""


@dataclass(frozen=True, slots=True)
class Room:
    """A request's priority among those of its class, and the room that there is now.

    Args:
        group: the limit that it falls under, by its name.
        class_: what it is of.
        priority: what is known of it.
        waiting, room_below: requests without a first byte, and below how many of them it goes on.
        first_below: below how many of them the first of its class goes on.
        has_room, first_has_room: whether it would go on now, and whether the first of its class would.
        is_shadow: whether what has no room goes on all the same.
        is_learning: whether no target is known yet, so that nothing is enforced.
        is_held: whether what has no room waits for a moment before it is shed.
    """

    group: str
    class_: str
    priority: ShedPriority
    waiting: int
    room_below: int
    first_below: int
    has_room: bool
    first_has_room: bool
    is_shadow: bool
    is_learning: bool
    is_held: bool

    @property
    def less_of_queue(self) -> float:
        """Return the part of the room of the first of its class that it does not have."""
        return 1.0 - self.priority.share() / ShedPriority(self.priority.rank, self.priority.classes).share()

    @property
    def told(self) -> str:
        """Return it in one line."""
        if self.has_room:
            now = "goes on now"
        elif self.is_shadow:
            now = "no room, and goes on in shadow"
        else:
            now = "no room, held for a moment and then shed" if self.is_held else "no room, shed"
        below = f"goes on while fewer than {self.room_below:,} do"
        if self.first_below > self.room_below:
            below += f", others of the class while fewer than {self.first_below:,} do"
        behind = f" ({reason(self.priority)})" if self.less_of_queue >= LEAST_TOLD else ""
        class_ = named(self.group, self.class_)
        if self.is_learning:
            behind += "; no target is learned yet, so nothing is shed"
        return f"{class_}: {now}. {self.waiting:,} wait for a first byte; it {below}{behind}"

    def as_json(self) -> dict[str, Any]:
        """Return it for machines."""
        priority = self.priority
        return {
            "group": self.group,
            "class": self.class_,
            "mode": "shadow" if self.is_shadow else "enforce",
            "is_learning": self.is_learning,
            "has_room": self.has_room,
            "first_has_room": self.first_has_room,
            "waiting": self.waiting,
            "room_below": self.room_below,
            "first_below": self.first_below,
            "less_of_queue": round(self.less_of_queue, 3),
            "why": reason(priority),
            "verdict": None if priority.verdict == "none" else priority.verdict,
            "factor": round(priority.factor, 3),
            "heavier_than": round(priority.lighter, 3),
            "lot": priority.lot,
        }


class Rooms:
    """The room that this host's workers have, to look at.

    Args:
        limits: what they run, by position, and what they have in flight; None where they count nothing.
        values: the same of values that have a limit of their own, by the limit's name and the value.
    """

    def __init__(
        self,
        limits: Sequence[tuple[AdaptiveSpec, InFlight | None]],
        values: Mapping[tuple[str, int], InFlight],
    ) -> None:
        self._limits = limits
        self._values = values

    def of(self, bound: BoundPolicy, matched: Matched, row: Sequence[int], now_ns: int) -> Room | None:
        """Return what room the request of a decided row has; None for one that asks for none."""
        if matched.rank < 0 or row[bound.extractor.listed_at]:
            return None
        spec, flight = self._limits[matched.group]
        value = row[spec.per] if spec.per >= 0 else 0
        if flight is None:
            return None
        flight = self._values.get((spec.name, value), flight)
        names = class_names(spec)
        key = lottery_key(bound.store.hasher.key)
        rank = LoadLimits(bound, tuple, counting_table(bound.store)).classes.of(matched, row)
        priority = shed_priority_of(
            bound, row, rank, len(names), Heaviest(flight), Shares(flight), key, now_ns
        )
        first = ShedPriority(rank, len(names))
        steering = Steering(flight)
        still, learned, _ = steering.queue_at(now_ns)
        # As `InFlight.has_room` has it: the first class of several keeps the queue that was learned.
        queue = learned if priority.kept() < 0 else still
        first_queue = learned if first.kept() < 0 else still
        is_learning = not has_target(spec, flight)
        return Room(
            spec.name,
            names[rank],
            priority,
            flight.counts(now_ns)[1],
            steering.room_below(queue, priority.share(), priority.kept(), rank),
            steering.room_below(first_queue, first.share(), first.kept(), rank),
            flight.has_room(now_ns, priority.share(), priority.kept(), rank),
            flight.has_room(now_ns, first.share(), first.kept(), rank),
            spec.shadow or is_learning,
            is_learning,
            spec.holds,
        )


@contextmanager
def rooms_of(policy: Policy, store: Store) -> Iterator[Rooms | None]:
    """Look at the room of this host's workers; None where they count nothing.

    Raises:
        StoreError: it cannot be read.
    """
    specs, place = loads_of(policy.compiled), store.place or wish_of(policy, needs_key=False).place
    with ExitStack() as stack:
        limits = []
        values: dict[tuple[str, int], InFlight] = {}
        for spec in specs:
            flight = SharedInFlight.existing(place, store.hasher.key, spec.name)
            if flight is not None:
                stack.callback(flight.close)
                settings = settings_of(spec)
                flight.adjust(settings.floor, settings.step_ns)
            limits.append((spec, flight))
            key = store.hasher.key
            for _, value in known_values(place, key, spec.name) if spec.per >= 0 else ():
                found = SharedInFlight.existing(place, key, value_name(spec.name, value))
                if found is not None:
                    stack.callback(found.close)
                    found.adjust(spec.floor, settings_of(spec).step_ns)
                    values[spec.name, value] = found
        yield Rooms(limits, values) if any(flight is not None for _, flight in limits) else None


class RoomLooking(Looking):
    """The room of a request's back end.

    Args:
        rooms: what is in flight on this host; None: nothing is known.
        is_live: whether that was looked at.
    """

    def __init__(self, rooms: Rooms | None, is_live: bool) -> None:
        self._rooms = rooms
        self._is_live = is_live
        self._room: Room | None = None

    def said(self, question: Question) -> Iterator[FeatureLine]:
        """Yield whether the back end has room for a request."""
        if self._rooms is not None:
            asked = question.bound, question.matched, question.row, question.now_ns
            self._room = self._rooms.of(*asked)
        room, words = self._room, None
        if loads_of(question.bound.compiled) and (room is not None or not self._is_live):
            words = "--live would say whether it goes before others" if room is None else room.told
        yield FeatureLine("room", words, None if room is None else room.as_json())

    @property
    def has_room(self) -> bool:
        """Whether what was said is that it has room, or lacks it in shadow alone."""
        room = self._room
        return room is None or room.has_room or room.is_shadow


def in_force(policy: Policy) -> Iterator[FeatureLine]:
    """Yield what each limit that follows the load does: its answers by an operator's question."""
    for spec in loads_of(policy.compiled):
        yield FeatureLine(
            "adaptive", f"[adaptive] {spec.name}", {"name": [spec.name], **_in_force(spec, policy)}
        )


def _in_force(spec: AdaptiveSpec, policy: Policy) -> dict[str, list[str]]:
    """Return what one does, by question."""
    compiled, wait, count = policy.compiled, formatting.wait, formatting.count
    at = spec.path[1] if len(spec.path) > 1 else 0
    given = policy.file.part(FileKeys).adaptive
    table = given if isinstance(given, Adaptive) else (given or ())[int(at)]
    assert isinstance(table, Adaptive)  # else it would not have compiled
    name_of = partial(formatting.identity, policy=compiled)
    on = [formatting.matches(table.match)]
    if spec.excepts:
        on.append(f"but {formatting.matches(table.except_)}")
    if spec.per >= 0:
        on.append(f"a limit and a target for each `{name_of(spec.per)}`, {MOST_VALUES} at one time")
    target = "learned from ten first bytes behind short queues; until then requests are only counted"
    held = held_of(compiled)
    principals = [
        " + ".join(map(name_of, together)) for together in (() if held is None else held.principals)
    ]
    remote = compiled.remote
    facts = {
        "on": on,
        "work": ["a request is as much as its body is long" if spec.by_body else "each request is one"],
        "first byte": [target if spec.first_byte_ns is None else f"within {wait(spec.first_byte_ns)}"],
        "in flight": [f"{spec.floor} always", f"{spec.start} at first", f"{spec.ceiling:,} at most"],
        "classes": [_class_words(one, spec, name_of) for one in spec.classes] or ["one"],
        "room": [f"held for {_longest_hold(spec)}, then shed" if spec.holds else "shed at once"],
        "fair by": [*principals, "else all as one"] if spec.holds else ["none: nothing is held"],
        "shared": [
            "by the workers of this host" if remote is None else f"by all hosts that use {remote.url}"
        ],
        "reports": [count(len(spec.reports), "page")] if spec.reports else [],
        "unknown": [one.message for one in policy.warnings if one.code == "class-unknown"],
        "mode": ["shadow: requests are only counted"] if spec.shadow else [],
    }
    return {question: answer for question, answer in facts.items() if answer}


def _longest_hold(spec: AdaptiveSpec) -> str:
    if spec.first_byte_ns is None:
        return "a moment"
    return formatting.wait(longest_ns(spec.first_byte_ns, by_work=spec.by_body))


def _class_words(one: ClassSpec, spec: AdaptiveSpec, name_of: Callable[[int], str]) -> str:
    """Return a class in one phrase: what is of it, and what it gets while others wait."""
    of = [str(pattern) for pattern in one.patterns]
    of += [f"{name_of(at)} {' or '.join(values)}" for at, values in one.when]
    first = spec.classes[0] is one
    return f"{one.name} ({', '.join(of)}; {'first' if first else f'weight {100 * one.weight:g}'})"


def prospects(compiled: CompiledPolicy) -> Iterator[str]:
    """Yield what is not enforced yet, limits without a target of their own, and where none is."""
    learning = [spec.name for spec in loads_of(compiled) if spec.first_byte_ns is None]
    if learning:
        names = "" if learning == [DEFAULT_GROUP] else f" ({', '.join(learning)})"
        yield (
            f"[adaptive]{names} has no `first_byte`: it only counts until ten first bytes of short queues "
            "have taught it a target. `ratelimit top` shows the target."
        )
    if loads_of(compiled):
        yield (
            "[adaptive] counts requests of ASGI, WSGI, gRPC, Envoy's external processor and `Limiter.decide`,"
            " which has to be ended. Other checks of proxies tell no first byte: they neither count nor shed."
        )


@contextmanager
def looking(policy: Policy, store: Store, *, is_live: bool) -> Iterator[RoomLooking]:
    """Look at the room of one request's back end."""
    with ExitStack() as stack:
        rooms = stack.enter_context(rooms_of(policy, store)) if is_live else None
        yield RoomLooking(rooms, is_live)
