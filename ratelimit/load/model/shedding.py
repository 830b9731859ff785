"""The order of shedding when there is no room: by class, by share, then by trust, by use, and by lot.

Every request has a place in one order. Where nothing waits, all have room. The longer the queue of those
that wait for their first byte, the further up the order it must stand. So a lower class never fills the
queue to where a higher one would be turned away, and unused room is lent to whatever comes. The order is
about the queue alone, and a shorter queue leaves no place of the back end empty.

A request over the share of its account (`core.sharing.shares`) goes before all others of its class. It has
room as long as hardly any request waits, and leaves places free for those that come next.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

HOUR_NS = 3600 * 10**9
PARTS = ((0.0, 0.15), (0.15, 0.3), (0.3, 0.4), (0.4, 0.5))
"""What requests have less room than the first of their class: good conduct, bad conduct, likely, certain."""
LOWEST = 0.15
"""The lowest of several classes has room up to this part of the queue; those between, in even ratios."""
FALL = 0.45
"""But each has at most this part of the class above. Below a half, so no class comes before a higher one."""
KEPT_FREE = 0.06
"""Share of the places that the lowest class leaves free, and two at least. With none its work is done whole,
and requests of a higher class take up to twice as long (`python -m benchmarks.adaptive`). Where requests of
a higher class are lost all the same, it leaves more free: `core.sharing.reserve`."""
OVER = 0.25
"""A request over its account's share has room up to this part of the queue that it would have within it."""
ABOVE_LOWER = 0.05
"""And at least so much more than the class below has."""
FIRST = -1.0
CONDUCT_LEVELS = 8
USE_LEVELS = 8
LOTS = 16
WORSE = {"none": 0, "likely": 1, "certain": 2}

ActorVerdict = Literal["none", "likely", "certain"]


@dataclass(frozen=True, slots=True)
class ShedPriority:
    """The facts of a request that may have to go.

    Args:
        rank: of its class, 0 is shed last.
        classes: how many there are.
        verdict: the correlator's on its principal.
        factor: of its conduct, up to 1.
        lighter: share of principals that used less in the last minute.
        lot: of 16, see `draw_lot`.
        account: its hash, 0 without one; has no part in the order.
        is_over: whether its account has had its share.
    """

    rank: int = 0
    classes: int = 1
    verdict: ActorVerdict = "none"
    factor: float = 1.0
    lighter: float = 0.0
    lot: int = 0
    account: int = 0
    is_over: bool = False

    @property
    def of(self) -> str:
        """The reason it goes behind others of its class: a verdict, `bad conduct`, or nothing (`others`)."""
        if self.verdict != "none":
            return self.verdict
        return "bad conduct" if self.order()[3] else "others"

    @property
    def place(self) -> int:
        """The place of its turn: by class, and behind others of it if anything speaks against it."""
        rank, is_over, verdict, conduct, *_ = self.order()
        return 2 * rank + (is_over or verdict > 0 or conduct > 0)

    def of_class(self, rank: int, classes: int) -> ShedPriority:
        """Return the same in another class."""
        return replace(self, rank=rank, classes=classes)

    def order(self) -> tuple[int, bool, int, int, int, int]:
        """Return the place in the order; the greatest goes first."""
        return (
            min(max(self.rank, 0), self.classes - 1),
            self.is_over,
            WORSE[self.verdict],
            _level(1.0 - self.factor, CONDUCT_LEVELS),
            _level(self.lighter, USE_LEVELS),
            self.lot % LOTS,
        )

    def share(self) -> float:
        """Return the share of the queue up to which it has room, above 0; less the earlier it goes."""
        rank, is_over, verdict, conduct, use, lot = self.order()
        place = (use + lot / LOTS) / USE_LEVELS
        if verdict:
            begin, end = PARTS[1 + verdict]
            place = (conduct + place) / CONDUCT_LEVELS
        elif conduct:
            begin, end = PARTS[1]
            place = (conduct - 1 + place) / (CONDUCT_LEVELS - 1)
        else:
            begin, end = PARTS[0]
        fall, room = _fall(self.classes), 1.0 - begin - (end - begin) * place
        if is_over:
            least = fall if rank < self.classes - 1 else 0.0  # no lower class comes before it
            room = least + (max(OVER, least + ABOVE_LOWER) - least) * room
        return float(fall**rank * room)

    def kept(self) -> float:
        """Return the share of the back end's places that it leaves free for higher classes, two at least.

        `FIRST` for the first of several, which is not shut out by a queue that stands still.
        """
        rank = self.order()[0]
        if self.is_over and rank == 0 == self.classes - 1:
            return KEPT_FREE
        return FIRST if rank == 0 and self.classes > 1 else KEPT_FREE * rank / max(1, self.classes - 1)


FIRST_OF_ALL = ShedPriority()
LAST_OF_A_CLASS = ShedPriority(verdict="certain", factor=0.0, lighter=1.0, lot=LOTS - 1)


def draw_lot(principal: int, key: int, now_ns: int) -> int:
    """Return one of 16 lots, another every hour, that cannot be foretold without the key.

    As DAGOR's user priorities, so that it is not always the same that go. The principal is a keyed hash
    already; it is mixed with the hour and the key by the finaliser of SplitMix64.
    """
    mixed = (principal ^ key ^ (now_ns // HOUR_NS) * 0x9E3779B97F4A7C15) & (1 << 64) - 1
    mixed = (mixed ^ mixed >> 30) * 0xBF58476D1CE4E5B9 & (1 << 64) - 1
    mixed = (mixed ^ mixed >> 27) * 0x94D049BB133111EB & (1 << 64) - 1
    return (mixed ^ mixed >> 31) % LOTS


def _fall(classes: int) -> float:
    """Return what the first of a class has room for, as a part of what the first of the class above has."""
    return min(FALL, float(LOWEST ** (1.0 / max(1, classes - 1))))


def _level(share: float, levels: int) -> int:
    return min(levels - 1, max(0, int(share * levels)))
