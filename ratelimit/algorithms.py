"""Algorithms of limits, one record each, from which the rest of the library is indexed.

The compiled core takes the number of its kind from the record (`core/algorithms/rule`). Redis' script takes
its text, and the policy its bounds. A store knows it by its name. The specification has its class, and the
documentation its rows. docs/extending.md says how to write another algorithm.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

AlgorithmName = Literal[
    "token-bucket",
    "sliding-window",
    "fixed-window",
    "staggered-window",
    "carried-window",
    "lifetime",
    "sliding-log",
    "concurrency",
    "distinct",
]
Counted = Literal["units", "slots", "members"]

MOST_COST = 2**31 - 1
LARGEST_BLOCK = 4096
"""Units, slots or members of an algorithm that remembers each."""
LONGEST_REFILL_TICKS = 2**61
TICKS_PER_NS = 16
SECOND_NS = 1_000_000_000
FOREVER_NS = 2**63 - 1
"""The time for which a lifetime lasts, where it is compared with periods."""
_NUMBERED_S = 2**29 - 400 * 86400
"""Sliding windows are numbered from the table's epoch on, as long as it lives."""
_COUNT_BITS = 35
"""A window's end leaves so many bits of a word to its count, if it is one of seconds."""
_MOST_COUNT_BITS = 51
_MOST_UNITS = 10**15 - 1
"""Of a window or a lifetime: header fields have integers of 15 digits."""
_LIFETIME_BASE = 2**51
"""As many units may be owed to a lifetime, and as many paid in advance."""


@dataclass(frozen=True, slots=True)
class Algorithm:
    """The record of one algorithm, for all places that use it."""

    kind: int
    """Its number in memory and in a server; the ranges of these are in `core/memory/entries.pxd`."""
    state: Literal["word", "block"]
    """A "word" of 64 bits, or a "block". Only limits in a word are charged with what others used."""
    counts: Counted
    """Units, or what is taken and given back whole."""
    script: str | None
    """Its file in `stores/redis/decision/scripts`; None where no server decides it."""
    reference: str
    """Its class in the package `ratelimit.reference`, as `module.Class`."""
    is_at_once: bool
    """True if a whole quota may come back at one instant; else it does bit by bit."""
    refills: bool
    """True if units come back at a steady pace, one after another, whatever the time of day."""
    largest_quota: Callable[[int], int]
    """Returns the most units of a period, in ns."""
    largest_debt: Callable[[int, int, int], int]
    """Returns the most units beyond the burst that corrections can count, of a period, quota and burst."""
    comes_back: bool
    """True if time gives its units back. Only such limits are leased, and have a host's share."""
    choice: tuple[str, str]
    """In docs/policy.md: never more than this, and what it is good for."""
    bounds: tuple[str, str, str, str]
    """In docs/algorithms.md: over any interval, at one instant, the state a key has, what it is used for."""
    written: str = ""
    """The key that implies it, where `algorithm` does not name it."""
    most_at_once: Callable[[int, int], int] | None = None
    """Returns the largest burst of a period and quota, where that is a number of its own."""


def interval_ticks(period_ns: int, quota: int) -> int:
    """Return the ticks from one unit of a token bucket to the next, rounded up."""
    return -(-TICKS_PER_NS * period_ns // quota)


def wide_bits(period_ns: int) -> int:
    """Return the bits of a sliding window's count: what its number leaves, and two marks."""
    period_s, number_bits = max(1, period_ns // SECOND_NS), 1
    while number_bits < 30 and period_s << number_bits < _NUMBERED_S + 2 * period_s:
        number_bits += 1
    return min(_MOST_COUNT_BITS, 62 - number_bits)


def count_bits(period_ns: int) -> int:
    """Return the bits of a window's count: what its end leaves, of which a quarter of the period is known."""
    period_s, bits = period_ns // SECOND_NS, _COUNT_BITS
    while bits < _MOST_COUNT_BITS and period_s >> (bits - _COUNT_BITS + 3):
        bits += 1
    return bits


def _most_of(bits: int) -> int:
    return min(_MOST_UNITS, (1 << bits - 1) - 1)  # a debt doubles it


def _largest_window(period_ns: int) -> int:
    return _most_of(count_bits(period_ns))


def _largest_window_debt(period_ns: int, quota: int, burst: int) -> int:
    return (1 << count_bits(period_ns)) - 1 - burst


def _largest_carry(period_ns: int, quota: int) -> int:
    return min(2 * quota, _largest_window(period_ns))  # what is left of one window is a quota at most


def _of_a_block(*_: int) -> int:
    return LARGEST_BLOCK


def _unbounded(*_: int) -> int:
    return MOST_COST


ALGORITHMS: Mapping[str, Algorithm] = {
    "token-bucket": Algorithm(
        kind=1,
        state="word",
        counts="units",
        script="bucket",
        reference="bucket.TokenBucket",
        is_at_once=False,
        refills=True,
        comes_back=True,
        largest_quota=lambda period_ns: max(0, period_ns),  # a nanosecond or more for each unit
        largest_debt=lambda period_ns, quota, burst: (
            2 * LONGEST_REFILL_TICKS // interval_ticks(period_ns, quota) - burst
        ),
        most_at_once=lambda period_ns, quota: LONGEST_REFILL_TICKS // interval_ticks(period_ns, quota),
        choice=(
            "`burst` at one instant; `burst` + *N* · *t* / *W* in any time *t*",
            "almost everything; smooth, no windows to wait for",
        ),
        bounds=("≤ B + ⌊r·L⌋ for *every* length L", "≤ B", "16 bytes", "nearly everything"),
    ),
    "sliding-window": Algorithm(
        kind=7,
        state="word",
        counts="units",
        script="sliding",
        reference="sliding.SlidingWindow",
        is_at_once=False,
        refills=False,
        comes_back=True,
        largest_quota=lambda period_ns: _most_of(wide_bits(period_ns)),
        largest_debt=lambda period_ns, quota, burst: 2 ** wide_bits(period_ns) - 1 - quota,
        choice=(
            "*N* in each aligned window, less than 2 *N* in any span of *W*",
            "quotas with a period people talk about",
        ),
        bounds=(
            "< 2 N; each aligned window ≤ N",
            "≤ N",
            "16 bytes, 32 if much is used",
            '"N a minute" as people read it',
        ),
    ),
    "fixed-window": Algorithm(
        kind=3,
        state="word",
        counts="units",
        script="fixed",
        reference="window.FixedWindow",
        is_at_once=True,
        refills=False,
        comes_back=True,
        largest_quota=_largest_window,
        largest_debt=_largest_window_debt,
        choice=(
            "*N* in each aligned window, at most 2 *N* in any span of *W*",
            "sold quotas, calendar periods",
        ),
        bounds=("≤ 2 N; each aligned window ≤ N", "≤ N", "16 bytes", "quotas sold by the day or month"),
    ),
    "staggered-window": Algorithm(
        kind=4,
        state="word",
        counts="units",
        script="fixed",
        reference="window.StaggeredWindow",
        is_at_once=True,
        refills=False,
        comes_back=True,
        largest_quota=_largest_window,
        largest_debt=_largest_window_debt,
        choice=(
            "*N* in each of the key's own windows, at most 2 *N* in any span of *W*",
            "the same, without all callers coming back at the full hour",
        ),
        bounds=("≤ 2 N; each of the key's windows ≤ N", "≤ N", "16 bytes", "quotas of many callers"),
    ),
    "carried-window": Algorithm(
        kind=5,
        state="word",
        counts="units",
        script="carried",
        reference="window.CarriedWindow",
        is_at_once=True,
        refills=False,
        comes_back=True,
        largest_quota=_largest_window,
        largest_debt=_largest_window_debt,
        most_at_once=_largest_carry,
        choice=(
            "`burst` in each aligned window, `burst` + (*k* - 1) *N* in *k* of them",
            "monthly budgets of which the next month has what was left",
        ),
        bounds=(
            "≤ B + N; each window ≤ B, any k of them ≤ B + (k − 1)·N",
            "≤ B",
            "16 bytes",
            "budgets that carry over",
        ),
        written="burst",
    ),
    "lifetime": Algorithm(
        kind=6,
        state="word",
        counts="units",
        script="lifetime",
        reference="window.Lifetime",
        is_at_once=True,
        refills=False,
        comes_back=False,
        largest_quota=lambda _: _MOST_UNITS,
        largest_debt=lambda period_ns, quota, burst: _LIFETIME_BASE - 1 - quota,
        choice=(
            "*N* in all, and what is added",
            "trial credit, prepaid balances",
        ),
        bounds=(
            "≤ N, and what was added",
            "≤ N, and what was added",
            "16 bytes",
            "trial credit, prepaid balances",
        ),
        written="rate",
    ),
    "sliding-log": Algorithm(
        kind=8,
        state="block",
        counts="units",
        script="log",
        reference="log.SlidingLog",
        is_at_once=True,
        refills=False,
        comes_back=True,
        largest_quota=_of_a_block,
        largest_debt=_unbounded,
        choice=("*N* in any span of *W*, exactly; *N* at most 4096", "small limits that must be exact"),
        bounds=("≤ N, exactly", "≤ N", "16 bytes a record, up to 4,096", "few, dear operations"),
    ),
    "concurrency": Algorithm(
        kind=10,
        state="block",
        counts="slots",
        script="slots",
        reference="slots.Concurrency",
        is_at_once=False,
        refills=False,
        comes_back=True,
        largest_quota=_of_a_block,
        largest_debt=_unbounded,
        choice=("`concurrent` in flight, at most 4096", "requests that hold a worker or a GPU"),
        bounds=("–", "≤ N in flight", "8 bytes a slot", "work that holds something"),
        written="concurrent",
    ),
    "distinct": Algorithm(
        kind=11,
        state="block",
        counts="members",
        script="sketch",
        reference="distinct.Distinct",
        is_at_once=True,
        refills=False,
        comes_back=True,
        largest_quota=_of_a_block,
        largest_debt=_unbounded,
        choice=(
            "*N* different values in each aligned window, rarely a few more; at most 4096",
            '"at most 40 networks a day"',
        ),
        bounds=(
            "≥ N and about N(1 + 1/32) members",
            "–",
            "2 bytes a member",
            '"at most 40 networks an account and day"',
        ),
        written='unit = "distinct:…"',
    ),
}
"""By the name that a policy has; in the order of docs/algorithms.md."""

DEFAULT: AlgorithmName = "token-bucket"
"""The algorithm of a limit that names none."""
IN_WORDS = frozenset(name for name, record in ALGORITHMS.items() if record.state == "word")
"""Algorithms that go into debt, can be leased, and count on elsewhere."""
LEASED = frozenset(name for name in IN_WORDS if ALGORITHMS[name].comes_back)
"""Algorithms of which workers take units in advance."""
WITH_BURST = frozenset(name for name, record in ALGORITHMS.items() if record.most_at_once is not None)
"""Algorithms of which more may come at once than in a period."""
OF_UNITS = frozenset(name for name, record in ALGORITHMS.items() if record.counts == "units")
"""Algorithms that count amounts, which can be settled."""
OF_SLOTS = frozenset(name for name, record in ALGORITHMS.items() if record.counts == "slots")
"""Algorithms whose units are held until the request ends."""
OF_MEMBERS = frozenset(name for name, record in ALGORITHMS.items() if record.counts == "members")
"""Algorithms that count different values, each once."""
REFILLED = frozenset(name for name, record in ALGORITHMS.items() if record.refills)
"""Algorithms that are full again little by little, and have no window that ends."""
CARRIED = WITH_BURST - REFILLED
"""Windows that have what the one before left over."""
PREPAID = frozenset(name for name, record in ALGORITHMS.items() if not record.comes_back)
"""Algorithms whose units time does not give back: more come by payment alone."""
