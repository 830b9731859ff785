"""The inputs that steer the bounds in flight: answers, peaks, a controller's results, an engine's report."""

from collections.abc import Iterable, Sequence
from typing import final

from ratelimit.core.sharing.inflight import InFlight

STEERING_WORDS: int
"""Numbers a controller may keep (128)."""
REPORT_FRESH_NS: int
"""The time for which an engine's report is believed."""

@final
class Steering:
    """The part of shared memory that a controller reads and writes; what requests do is in `InFlight`.

    Any bytes in the memory are survived: numbers are cut to what they can be, and times to the past.
    """

    def __new__(cls, flight: InFlight) -> Steering: ...
    def answered(self, again: bool = False, /) -> list[tuple[int, int, int, int, bool, int, int]]:
        """Return answers that no leader has seen; `again`: those that one has, as far as they are kept.

        Each is seven numbers: when it was admitted and when its first byte came. What was in flight then,
        and without a first byte, itself included. Whether the back end refused it, its
        mark, and its number. Of many, a part: about 32, from the first to the last, and all refusals.
        """
    def mark(self, number: int, mark: int, /) -> None:
        """Keep a byte with an answer, for the next leader; one that is not kept any more is ignored."""
    def waiting(self, now_ns: int, most: int, /) -> list[tuple[int, int]]:
        """Return since when requests wait, and how many did then; the oldest first."""
    def peaks(self, now_ns: int, /) -> tuple[int, int, int]:
        """Return most in flight, most without a first byte, and requests turned away, since the last call."""
    def publish(
        self,
        kind: int,
        in_flight: int,
        free_bound: int,
        full_bound: int,
        full_from: int,
        patience_ns: int,
        places: int,
        beside: int,
        pressure: float,
        target_ns: int,
        words: Sequence[float],
        /,
    ) -> None:
        """Put bounds in force, and keep a controller's words for the next leader."""
    def said(self, now_ns: int, /) -> tuple[int, int, int, int, int, int, int]:
        """Return what other hosts have to know of this one: seven numbers.

        In flight, of these without a first byte, and held. How many were let through so far, and how many found no
        room. How long no first byte came, and how long none was let through.
        """
    def heard(
        self,
        now_ns: int,
        elsewhere: int,
        elsewhere_waits: int,
        lease: int,
        lent: int,
        part: float,
        still_ns: int,
        entered_ns: int,
        follows_ns: int,
        entered_more: int = 0,
        /,
    ) -> None:
        """Take what the other hosts before the back end have; it is believed for a second.

        Args:
            now_ns: when.
            elsewhere, elsewhere_waits: in flight there, and of these without a first byte.
            lease: so many without a first byte this host may have until the next call.
            lent: while so many of all hosts have none, it may have one more.
            part: of the back end that this host uses; 1: there are no others.
            still_ns: how long no first byte came to any of them; below 0 until then it counts as if one did.
            entered_ns: how long none of them let a request through.
            follows_ns: for so long another host steers; 0: this one does.
            entered_more: so many requests more were let through there.

        Raises:
            ValueError: the part is not above 0, and 1 at most.
        """
    part: float
    """This host's part of the back end, which holds while the others are not heard; 1 for one that is alone."""
    def observe(self, answers: Iterable[tuple[int, int, int, int, bool]], /) -> None:
        """Take first bytes of other hosts as this host's own: when each was admitted and when it came, what was in flight
        then, and of that without a first byte, and whether the back end refused it."""
    def queue_at(self, now_ns: int, /) -> tuple[int, int, int]:
        """Return how many may wait for their first byte, how many by what was learned, and why fewer may.

        That is for how long in nanoseconds none came, 0 where none waits for one. Several classes: of the last.
        """
    def room_below(self, waiting: int, share: float, kept: float, rank: int = 0, /) -> int:
        """Return below how many without a first byte there is room, of `waiting` for the first of all.

        Args:
            waiting: as `queue_at` has it.
            share, kept, rank: as `InFlight.has_room` has them.
        """
    @property
    def bounds(self) -> tuple[int, int, int, int, int, int, int]:
        """In flight; without a first byte while places are free, and when all are taken; from how many
        answers under way on they are. How long the queue may stand still, times those that may wait
        then, 0 for ever. How many places there are, and how many without a first byte are worked on;
        0 where it is not known."""
    @property
    def pressure(self) -> float: ...
    @property
    def target_ns(self) -> int: ...
    @property
    def kind(self) -> int:
        """The number of the controller that left the words; 0 for none."""
    @property
    def words(self) -> list[float]: ...
    def cap(self, at_ns: int, most: int, /) -> bool:
        """Take an upper bound on what is in flight, for `REPORT_FRESH_NS`; False for one older than the last.

        It binds only while half of those that may wait do.
        """
    @property
    def cap_in_force(self) -> tuple[int, int]:
        """The newest report: its time, 0 for never, and its number."""
    def forget_stale(self, now_ns: int, /) -> None:
        """Count an upper bound that no other followed in time, once, and forget it."""
    @property
    def stale(self) -> int:
        """The number of those forgotten so."""
