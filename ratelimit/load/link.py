"""The link of one host's limit to those of the other hosts before the same back end.

One worker of a host speaks for it, every 100 to 250 ms, in a thread of its own: a message goes to the
server, and what the others said last comes back (`load.model.hosts`). Requests never wait for it: they go
by the host's memory.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from ratelimit.core.sharing.inflight import InFlight
from ratelimit.core.sharing.shares import Shares
from ratelimit.core.sharing.steering import STEERING_WORDS, Steering
from ratelimit.load.model.controller import Bounds
from ratelimit.load.model.hosts import (
    ALIVE_NS,
    MOST_SAMPLES,
    Demand,
    Elsewhere,
    HostMessage,
    Sample,
    ServerReply,
    Steered,
    bounded,
    leader_of,
    live,
    period_ns,
    stripped,
)

MILLISECOND = 1_000_000
MOST_PRESSURE = 1e6
"""A message has no infinite numbers."""
LENT = 0.5
"""While no host has requests without room, so much of it is anyone's."""


class HostLink:
    """One host's part.

    Args:
        name: of the host; unique, and of no other meaning.
        flight: what the host has in flight.
        kind: the number of the controller's algorithm, see `Admission`.
    """

    def __init__(self, name: str, flight: InFlight, kind: int = 1) -> None:
        self.name = name
        self.flight = flight
        self._steering = Steering(flight)
        self._shares = Shares(flight)
        self._kind = kind
        self._demand = Demand()
        self._entered = self._refused = -1
        self._number = 0
        self._heard: dict[str, int] = {}
        self._elsewhere = Elsewhere()
        self._steers_ms = 0
        self._sent = HostMessage()

    @property
    def period_ns(self) -> int:
        """The time between two exchanges."""
        return period_ns(self._steering.target_ns)

    def may_wait(self, now_ns: int) -> int:
        """Return how many may be without a first byte now, of all hosts."""
        in_flight, unanswered = self.flight.together(now_ns)
        return Bounds(*self._steering.bounds).at(in_flight - unanswered).unanswered

    def say(self, now_ns: int) -> HostMessage:
        """Return this host's message."""
        steering = self._steering
        in_flight, unanswered, held, entered, refused, still_ns, entered_ns = steering.said(now_ns)
        turned_away = _since(self._refused, refused)
        came = _since(self._entered, entered) + turned_away
        self._entered, self._refused = entered, refused
        is_follower = self.flight.follows(now_ns)
        samples: tuple[Sample, ...] = ()
        if is_follower:
            found = [
                (now_ns - admitted_ns, now_ns - seen_ns, flying, waits, failed)
                for admitted_ns, seen_ns, flying, waits, failed, _, _ in steering.answered()
            ]
            samples = tuple(found[-MOST_SAMPLES:])
        steered = None
        if self._steers_ms and steering.kind == self._kind:
            steered = Steered(
                self._kind,
                steering.bounds,
                min(steering.pressure, MOST_PRESSURE),
                steering.target_ns,
                stripped(steering.words),
            )
        self._number += 1
        self._sent = HostMessage(
            self._number,
            in_flight,
            unanswered,
            max(held, turned_away),
            self._demand.observe(came, now_ns),
            still_ns,
            entered_ns,
            self._steers_ms,
            samples,
            steered,
            self._shares.said(),
            entered,
        )
        return self._sent

    def hear(self, found: ServerReply, now_ns: int) -> None:
        """Take what the server answers.

        Args:
            found: it.
            now_ns: this host's time.
        """
        now_ms = found.now_ms
        heard = {
            name: (age_ms, bounded(one))
            for name, (age_ms, one) in live(found.hosts, now_ms).items()
            if name != self.name
        }
        mine = replace(self._sent, steers_ms=self._steers_ms)
        every = {name: one for name, (_, one) in heard.items()}
        every[self.name] = mine
        leader = leader_of(every)
        self._steers_ms = (self._steers_ms or max(1, now_ms)) if leader == self.name else 0
        if leader != self.name:
            self._follow(every[leader].steered)
        else:
            self._lead(heard, now_ns)
        elsewhere = sum(one.in_flight for _, one in heard.values())
        waits = sum(one.unanswered for _, one in heard.values())
        period = self.period_ns
        is_calm = not any(one.wanted for one in every.values())
        self._shares.heard((one.shares for _, one in heard.values()), now_ns)
        if not is_calm:
            self._shares.lack()
        lent = int(LENT * self.may_wait(now_ns)) if is_calm else 0
        # The others' first bytes go on coming until they are heard again.
        still_ns = min((age * MILLISECOND + one.still_ns for age, one in heard.values()), default=0) - period
        entered_ns = min((age * MILLISECOND + one.entered_ns for age, one in heard.values()), default=0)
        self._steering.heard(
            now_ns,
            elsewhere,
            waits,
            found.lease,
            lent,
            found.share if heard else 1.0,
            still_ns,
            max(0, entered_ns),
            ALIVE_NS if leader != self.name else 0,
            self._elsewhere.more(heard, now_ms),
        )

    def _follow(self, steered: Steered | None) -> None:
        if steered is not None and steered.kind == self._kind:
            self._steering.publish(
                steered.kind, *steered.bounds, steered.pressure, steered.target_ns, padded(steered.words)
            )

    def _lead(self, heard: Mapping[str, tuple[int, HostMessage]], now_ns: int) -> None:
        """Take first bytes and refusals of the others for this host's."""
        for name, (_, one) in heard.items():
            if self._heard.get(name) == one.number:
                continue
            self._steering.observe(
                (now_ns - (admitted - seen), now_ns, flying, waits, failed)
                for admitted, seen, flying, waits, failed in one.samples
            )
            if one.wanted:
                self.flight.turn_away(one.wanted)
        self._heard = {name: one.number for name, (_, one) in heard.items()}


def padded(words: Sequence[float]) -> Sequence[float]:
    """Return a controller's words with the zeros that a message left out."""
    return [*words[:STEERING_WORDS], *(0.0 for _ in range(STEERING_WORDS - len(words)))]


def _since(before: int, now: int) -> int:
    """Return how much a count grew; 0 before the first look, and after memory was lost."""
    return now - before if 0 <= before <= now else 0
