"""Metrics of the limit that follows the load, and where what it shed is counted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from ratelimit.core.memory.table import COUNTER_COLUMNS
from ratelimit.core.sharing.inflight import InFlight
from ratelimit.core.sharing.reserve import Reserve
from ratelimit.core.sharing.steering import Steering
from ratelimit.telemetry.metric import Label, Metric, Samples, Totals, counted, plain
from ratelimit.waiting.metrics import COUNTER_HELD, COUNTER_HOLDS, HOLD_RESULTS, WAIT_BOUNDS_NS, WAIT_WIDTH

SHED_OF = ("others", "bad conduct", "likely", "certain")
"""Accounts that are shed, the last to go first."""
SHED_MODES = ("enforce", "shadow")


def shed_column(of: str, *, in_shadow: bool) -> int:
    """Return the column of a class' counter that counts these."""
    return len(SHED_MODES) * SHED_OF.index(of) + in_shadow


SHED_COLUMNS = [
    ({"of": of, "mode": mode}, shed_column(of, in_shadow=mode == "shadow"))
    for of, mode in product(SHED_OF, SHED_MODES)
]


def shed_counter(group: str, name: str) -> str:
    """Return what the counter of a class is called, of the limit of this name."""
    return f"\x1fshed {group}\x1f{name}"


def value_counter(group: str, cell: int, *, in_shadow: bool) -> tuple[str, int]:
    """Return the counter and its column of what the limit of one value shed: 8 values share a counter."""
    return f"\x1fvalues {group}\x1f{SHED_MODES[in_shadow]} {cell // COUNTER_COLUMNS}", cell % COUNTER_COLUMNS


def entered_counter(group: str, name: str) -> str:
    """Return what counts the requests of a class that went on to the back end."""
    return f"\x1fentered {group}\x1f{name}"


GROUP = Label("group", source="name of the `[adaptive]` in the file, or `default`; with `per` a number, too")


LOAD_REQUESTS = Metric(
    "ratelimit_load_requests",
    "gauge",
    "Requests in flight, of all workers of the host: answering, or waiting for their first byte.",
    (GROUP, Label("state", ("answering", "waiting"))),
)
LOAD_BOUND = Metric(
    "ratelimit_load_bound",
    "gauge",
    "Requests that the limit that follows the load allows now: in flight, and waiting for their first byte. "
    "`learned`: how many may wait while first bytes come. `floor`: so many in flight always have room.",
    (
        GROUP,
        Label("on", ("in flight", "waiting", "learned", "floor")),
    ),
)
LOAD_ENFORCED = Metric(
    "ratelimit_load_enforced",
    "gauge",
    "1 while requests without room are held and shed; 0 while they are only counted: in shadow, "
    "and until a target is learned.",
    (GROUP,),
)
LOAD_HELD = Metric(
    "ratelimit_load_held",
    "gauge",
    "Requests that are held in the gateway until the back end has room, of all workers of the host.",
    (GROUP,),
)
LOAD_KEPT_FREE = Metric(
    "ratelimit_load_kept_free_ratio",
    "gauge",
    "Share of the back end's places that the last of several classes leaves free for those above it. "
    "It grows while requests of these are shed.",
    (GROUP,),
)
LOAD_HOLDS = Metric(
    "ratelimit_load_holds",
    "counter",
    "Requests that the back end had no room for, by outcome; "
    "principal-full, full, too-long: shed at arrival; shadow: not held.",
    (Label("result", HOLD_RESULTS),),
)
LOAD_HOLD_SECONDS = Metric(
    "ratelimit_load_hold_seconds",
    "histogram",
    "Time that requests were held in the gateway, whatever the end; without those shed at arrival.",
    bounds=WAIT_BOUNDS_NS,
)
LOAD_STILL = Metric(
    "ratelimit_load_still_seconds",
    "gauge",
    "For how long no first byte came while requests wait for one; fewer may wait then than was learned.",
    (GROUP,),
)
LOAD_PRESSURE = Metric(
    "ratelimit_load_pressure",
    "gauge",
    "Lateness of first bytes: their 95 % quantile, 1 is the target.",
    (GROUP,),
)
LOAD_TARGET = Metric(
    "ratelimit_load_target_seconds",
    "gauge",
    "Target for the time to the first byte, configured or learned; 0 until it is.",
    (GROUP,),
)
LOAD_SHED = Metric(
    "ratelimit_load_shed",
    "counter",
    "Requests that found no room and were shed with 503, or would have been. "
    "`of`: members of a likely or certain actor, accounts of bad conduct, and all others. "
    "With `per`, all values are counted under the table's own name.",
    (
        GROUP,
        Label("class", source="name of the class in the policy file, or `all`"),
        Label("of", SHED_OF),
        Label("mode", SHED_MODES),
    ),
)
LOAD_SHED_VALUE = Metric(
    "ratelimit_load_shed_by_value",
    "counter",
    "With `per`, what the limit of each value shed, a part of `ratelimit_load_shed_total`. "
    "A number goes to another value once its own had no request for ten minutes.",
    (GROUP, Label("mode", SHED_MODES)),
)
LOAD_STALE = Metric(
    "ratelimit_load_stale_reports",
    "counter",
    "Reports of the engine that became too old before the next one.",
    (GROUP,),
)
METRICS = (
    LOAD_ENFORCED,
    LOAD_REQUESTS,
    LOAD_BOUND,
    LOAD_STILL,
    LOAD_PRESSURE,
    LOAD_TARGET,
    LOAD_SHED,
    LOAD_SHED_VALUE,
    LOAD_STALE,
    LOAD_HELD,
    LOAD_KEPT_FREE,
    LOAD_HOLDS,
    LOAD_HOLD_SECONDS,
)
"""Exported only where the policy has a limit that follows the load."""


@dataclass(frozen=True, slots=True)
class WatchedLoad:
    """A limit that follows the load, as it is read.

    Args:
        group: its name.
        classes: the names of its classes.
        numbers: its state in numbers, of the whole host.
        value: of the limit of one value, the name of the limit of all of them, and its cell.
    """

    group: str
    classes: Sequence[str]
    numbers: Mapping[str, float]
    value: tuple[str, int] | None = None


def kept_free(flight: InFlight, last: int, kept: float) -> float:
    """Return the share of the places that the class of the last rank leaves free, `kept` by itself."""
    return max(kept, Reserve(flight).share(last, kept))


def load_numbers(
    flight: InFlight, now_ns: int, *, floor: int, is_shadow: bool, last: int, kept: float
) -> Mapping[str, float]:
    """Return the state of a host's limit in numbers; `last` and `kept` as `kept_free` has them."""
    steering = Steering(flight)
    in_flight, unanswered = flight.counts(now_ns)
    waiting, learned, still_ns = steering.queue_at(now_ns)
    held = flight.held(now_ns)
    return {
        "answering": in_flight - unanswered,
        "waiting": unanswered,
        "in flight bound": steering.bounds[0],
        "waiting bound": waiting,
        "learned bound": learned,
        "floor bound": floor,
        "enforced": not is_shadow,
        "held": held,
        "kept free": kept_free(flight, last, kept),
        "still_ns": still_ns,
        "pressure": steering.pressure,
        "target_ns": steering.target_ns,
        "stale": steering.stale,
    }


_STATES = [
    (LOAD_ENFORCED, "enforced", 1),
    (LOAD_STILL, "still_ns", 1e9),
    (LOAD_PRESSURE, "pressure", 1),
    (LOAD_TARGET, "target_ns", 1e9),
    (LOAD_STALE, "stale", 1),
    (LOAD_HELD, "held", 1),
    (LOAD_KEPT_FREE, "kept free", 1),
]
"""Families with one number of each limit, and what that is divided by."""


def samples(limiter: Any, totals: Totals) -> Iterator[Samples]:
    """Yield the state of the limits, and what they held and shed."""
    loads: Sequence[WatchedLoad] = limiter.watched_loads
    if not loads:
        return
    by_group = [({GROUP.name: one.group}, one) for one in loads]

    def numbered(metric: Metric, label: str, suffix: str) -> Samples:
        values = next(each.values for each in metric.labels if each.name == label)
        found = [
            ({**group, label: value}, one.numbers[f"{value}{suffix}"])
            for group, one in by_group
            for value in values
        ]
        return Samples(metric, found)

    yield numbered(LOAD_REQUESTS, "state", "")
    yield numbered(LOAD_BOUND, "on", " bound")
    for metric, number, scale in _STATES:
        yield Samples(metric, [(group, one.numbers[number] / scale) for group, one in by_group])
    yield counted(LOAD_HOLDS, totals(COUNTER_HOLDS, len(HOLD_RESULTS)))
    yield plain(LOAD_HOLD_SECONDS, totals(COUNTER_HELD, WAIT_WIDTH))
    shed: list[tuple[Mapping[str, str], int]] = []
    for group, one in by_group:
        for name in one.classes:
            cells = totals(shed_counter(one.group, name))
            shed += [({**group, "class": name, **labels}, cells[at]) for labels, at in SHED_COLUMNS]
    yield Samples(LOAD_SHED, shed)
    by_value: list[tuple[Mapping[str, str], int]] = []
    for group, one in by_group:
        if one.value is None:
            continue
        table, cell = one.value
        for mode in SHED_MODES:
            counter, column = value_counter(table, cell, in_shadow=mode == "shadow")
            by_value.append(({**group, "mode": mode}, totals(counter, COUNTER_COLUMNS)[column]))
    yield Samples(LOAD_SHED_VALUE, by_value)
