"""Hosts before one back end: what they tell each other, and what each may do until the next exchange.

Theory of operation. Hosts with a limit of their own each would let in what one of them may: twelve with a
floor of four have 48 in flight before two places. So they share one limit. Every some hundred milliseconds
each says how much it has in flight, and hears the same of the others (`HostMessage`). One steers for all:
it takes the first bytes of all hosts as its own, and its controller's bounds and words are in force
everywhere. When it is silent for a second another one goes on from its words, as another worker does within
a host.

The bounds are on what all hosts have together, and what the others have is known as of the last exchange.
Hosts that saw the same room would all take it. So room is leased: with its message a host asks the server
for so many that may wait for their first byte here until the next one (`lease`). All leases together are no
more than the bound. While less than half of the room is taken, each may have one more than its lease:
bursts at all hosts in one instant are rarer than at one. A host that asks for more than its part by demand
gets it while no other asks; else it goes back to its part as its requests are answered.

A host that does not hear the others steers by itself. It goes on with the part that it had: it counts what
it has as that part of all, so that its bound, floor and start are as much of the whole as before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import ceil, exp, floor, isfinite
from typing import NamedTuple

from ratelimit.load.model.settings import SECOND_NS

ALIVE_NS = SECOND_NS
"""A host that said nothing for so long has no part in the limit."""
LEAST_PERIOD_NS, MOST_PERIOD_NS, PERIODS = SECOND_NS // 10, SECOND_NS // 4, 8
"""Hosts exchange so many times in a target, within these bounds."""
DEMAND_NS = 5 * SECOND_NS
"""About so far back a host's part by demand goes."""
LEAST_DEMAND = 0.5
"""Requests a second that each host counts as having, so that one without any has a part."""
LEAST_STEERING = 0.2
"""Requests a second of a host that steers."""
MOST_SAMPLES = 16
"""First bytes in one message."""
MOST_GROWTH = 1 << 20
"""No host lets more through between two messages."""

Sample = tuple[int, int, int, int, bool]
"""How long ago a request was admitted and answered; in flight then, without a first byte; whether refused."""


@dataclass(frozen=True, slots=True)
class Steered:
    """What the host that steers has found: bounds, and what another one needs to go on."""

    kind: int
    bounds: tuple[int, int, int, int, int, int, int]
    pressure: float
    target_ns: int
    words: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class HostMessage:
    """One host's message.

    Args:
        number: of the message, to take it once.
        in_flight, unanswered: of this host.
        wanted: requests without room: held ones, or those turned away since the last message.
        demand: requests a second.
        still_ns: how long no first byte came to it.
        entered_ns: how long it let none through.
        steers_ms: since when it steers, by the server's time; 0: it does not.
        shares: what accounts were served there and what of them was shed, see `Shares.said`.
        samples: its first bytes since the last message.
        steered: of the host that steers.
        entered: requests that it let through so far.
    """

    number: int = 0
    in_flight: int = 0
    unanswered: int = 0
    wanted: int = 0
    demand: float = 0.0
    still_ns: int = 0
    entered_ns: int = 0
    steers_ms: int = 0
    samples: tuple[Sample, ...] = ()
    steered: Steered | None = None
    shares: bytes = b""
    entered: int = 0


class ServerReply(NamedTuple):
    """The server's answer.

    Args:
        now_ms: its time.
        lease: how many this host may have without a first byte until the next answer.
        share: its part of the back end by demand.
        hosts: by name: when each spoke last, by that time, and what it said.
    """

    now_ms: int
    lease: int
    share: float
    hosts: Mapping[str, tuple[int, HostMessage]]


@dataclass(frozen=True, slots=True)
class Holding:
    """What the server knows of a host's part.

    Args:
        holds: what it may have without a first byte, or has.
        wanted: requests without room.
        demand: requests a second.
    """

    holds: int
    wanted: int
    demand: float


def period_ns(target_ns: int) -> int:
    """Return the time between two exchanges."""
    return min(max(target_ns // PERIODS, LEAST_PERIOD_NS), MOST_PERIOD_NS)


def leader_of(told: Mapping[str, HostMessage]) -> str:
    """Return the host that steers: that which does so for longest; if none does, the first by name.

    Steps are taken as requests come, so a host without requests does not steer while another has some.
    """
    busy = {name: one for name, one in told.items() if one.demand >= LEAST_STEERING} or told
    steering = [(one.steers_ms, name) for name, one in busy.items() if one.steers_ms]
    return min(steering)[1] if steering else min(busy)


def lease(
    others: Sequence[Holding], unanswered: int, wanted: int, demand: float, waiting: int
) -> tuple[int, float]:
    """Return how many a host may have without a first byte until it asks again, and its part of the back end.

    Together with what the others hold it is no more than may wait, but for what the host has already.
    `scripts/load.lua` does the same at the server.

    Args:
        others: the other hosts.
        unanswered, wanted, demand: of this one.
        waiting: how many may be without a first byte in all.
    """
    every = sum(one.demand + LEAST_DEMAND for one in others) + demand + LEAST_DEMAND
    share = (demand + LEAST_DEMAND) / every
    part = waiting * share
    held = sum(one.holds for one in others)
    left = waiting - held - unanswered
    most = waiting
    is_short = any(
        one.wanted > 0 and one.holds < waiting * (one.demand + LEAST_DEMAND) / every for one in others
    )
    if is_short or left < 0:
        most = ceil(part) if unanswered < part else floor(part)
    least = 0 if any(one.wanted for one in others) else 1
    spare = wanted or max(least, floor(left * share))
    return max(0, min(most, unanswered + min(spare, max(0, left)))), share


@dataclass
class Demand:
    """Requests a second that come to a host, over some seconds."""

    rate: float = 0.0
    _at_ns: int = field(default=-1, repr=False)

    def observe(self, came: int, now_ns: int) -> float:
        """Take notice of so many since the last call; return the rate."""
        passed_ns = now_ns - self._at_ns
        if 0 < passed_ns <= 10 * DEMAND_NS and self._at_ns >= 0:
            self.rate += (1.0 - exp(-passed_ns / DEMAND_NS)) * (came * SECOND_NS / passed_ns - self.rate)
        self._at_ns = now_ns
        return self.rate


class Elsewhere:
    """How many requests the other hosts let through, as far as one host heard them without a gap.

    A host that is heard for the first time, or again after it was silent, has a count of which nobody knows
    when it grew. One whose count falls was started again, or shares its name with another one, or an old
    message came again: its growth counts for nothing until it did not fall for a second.
    """

    def __init__(self) -> None:
        self._known: dict[str, tuple[int, int]] = {}

    def more(self, heard: Mapping[str, tuple[int, HostMessage]], now_ms: int) -> int:
        """Return how many more there are than at the last call.

        Args:
            heard: by name, the others that are not silent: how many milliseconds ago they spoke, and what.
            now_ms: the server's time.
        """
        known, found, gap_ms = {}, 0, ALIVE_NS // 1_000_000
        for name, (age_ms, one) in heard.items():
            said_ms = now_ms - age_ms
            entered, since_ms = self._known.get(name, (one.entered, said_ms))
            growth = one.entered - entered
            if growth < 0:
                since_ms = said_ms + gap_ms
            elif 0 <= said_ms - since_ms <= gap_ms and growth <= MOST_GROWTH:
                found += growth
            # The server's clock may step back.
            known[name] = one.entered, min(max(since_ms, said_ms), said_ms + gap_ms)
        self._known = known
        return found


def stripped(words: Sequence[float]) -> tuple[float, ...]:
    """Return a controller's words for a message: finite ones, without the zeros at their end."""
    finite = [word if isfinite(word) else 0.0 for word in words]
    while finite and not finite[-1]:
        finite.pop()
    return tuple(finite)


def live(told: Mapping[str, tuple[int, HostMessage]], now_ms: int) -> dict[str, tuple[int, HostMessage]]:
    """Return hosts that spoke lately, with the age of what they said in milliseconds."""
    return {
        name: (max(0, now_ms - at_ms), one)
        for name, (at_ms, one) in told.items()
        if now_ms - at_ms <= ALIVE_NS // 1_000_000
    }


def bounded(told: HostMessage) -> HostMessage:
    """Return a message with numbers that can be: what another host says is not trusted to be right."""
    most = 1 << 20
    return replace(
        told,
        in_flight=min(max(told.in_flight, 0), most),
        unanswered=min(max(told.unanswered, 0), most),
        wanted=min(max(told.wanted, 0), most),
        demand=min(max(told.demand, 0.0), 1e6) if told.demand == told.demand else 0.0,
        samples=told.samples[:MOST_SAMPLES],
    )


__all__: Sequence[str] = (
    "ALIVE_NS",
    "Demand",
    "Elsewhere",
    "Holding",
    "HostMessage",
    "ServerReply",
    "Steered",
    "bounded",
    "leader_of",
    "lease",
    "live",
)
