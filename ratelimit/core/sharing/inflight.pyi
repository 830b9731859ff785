"""The requests in flight of all workers of a host, and their bound, in memory that they share."""

from collections.abc import Callable, Sequence
from typing import Any, final

FLIGHT_VERSION: int
FLIGHT_LANES: int
"""Workers with numbers of their own (64); what further ones have in flight, the others do not see."""

def flight_bytes() -> int:
    """Return the size of such memory."""

@final
class InFlight:
    """One route group's requests, over a writable buffer (an `mmap`, shared or private).

    A zeroed buffer is formatted; a formatted one is attached to after its magic, layout version, size,
    boot and key fingerprint were compared. What memory says is never trusted beyond what is counted in
    it: any bytes in it, changed at any time, give at worst wrong counts.

    Laws: a ticket is counted until `finished`, once, and waits until `first_byte` or `finished`,
    whichever is first. A worker that gives no sign of life for six seconds counts for nothing, and from
    the next one on for what it has. Together, n workers that ask at one instant exceed a bound by at
    most n - 1 requests; none is turned away while there is room. What is held in the gateway is
    not in flight.

    Args:
        memory: writable, C-contiguous, 64-byte aligned, at least `flight_bytes()` large.
        boot_id: identifies the boot of this host; at most 64 bytes.
        fingerprint: 16 bytes that stand for the hash key.
        floor: requests in flight that always have room.
        step_ns: time between two steps of the controller.

    Raises:
        StoreError: codes `table-foreign`, `table-size`, `table-damaged`.
        ValueError: an argument of the wrong size, or no positive floor and step.
    """

    def __init__(
        self, memory: Any, *, boot_id: bytes, fingerprint: bytes, floor: int, step_ns: int
    ) -> None: ...
    @property
    def open(self) -> bool: ...
    @property
    def closed(self) -> bool: ...
    @property
    def floor(self) -> int: ...
    @property
    def entered(self) -> int:
        """The number of requests that this worker has counted in so far."""
    def take_entered(self) -> Sequence[tuple[int, int]]:
        """Return how many requests went on since the last call, by the rank of their class."""
    def damage(self) -> str | None:
        """Return what is wrong with the memory, of what can be told at a glance; None where nothing is."""
    def adjust(self, floor: int, step_ns: int, /) -> None:
        """Change floor and step.

        Raises:
            ValueError: one is not positive.
        """
    def join(self, pid: int, start: int, now_ns: int, alive: Callable[[int, int], bool], /) -> int:
        """Take a lane for this process; return its number, -1 where none is free.

        Idempotent. Two of one process have a lane each. After a fork, tickets of the parent are not known here. Lanes of
        processes that are silent and for which `alive(pid, start)` is false are free.
        """
    def beat(self, now_ns: int, /) -> bool:
        """Say that this worker lives; False where its lane is not its own any more: join again."""
    def leave(self) -> None:
        """Give the lane up: the others do not count this worker's requests from then on."""
    def forget(self) -> None:
        """Let go of all tickets."""
    def has_room(
        self, now_ns: int, share: float = 1.0, kept: float = 0.0, rank: int = 0, units: int = 1, /
    ) -> bool:
        """Return whether one more request may go on.

        Args:
            now_ns: when.
            share: of the queue of those without a first byte, the part that it may fill.
            kept: part of the back end's places that it leaves free, where it is known how many there are.
                Below 0: a queue that stands still is not shorter for it.
            rank: of its class; what is kept free for those above is not there for it.
            units: its work: see `units_of`.
        """
    def units_of(self, work: float, /) -> int:
        """Return how many requests in the middle a request of this work is as much as: 1 to 64; 1 where none is known."""
    def learn(self, work: float, /) -> None:
        """Take the work of a request that goes on: half of them have less than one in the middle."""
    def enter(self, now_ns: int, rank: int = 0, units: int = 1, /) -> int:
        """Count a request of a class in, whether there is room or not; return its ticket.

        Until its first byte it counts for as many as its units.

        Raises:
            ValueError: the rank is negative.
        """
    def hold(self, more: int, now_ns: int, is_over: bool = False, /) -> None:
        """Note that this worker holds so many requests more in the gateway, or fewer; they are not in flight.

        Hosts lease no room for requests that are over their account's share.

        Raises:
            ValueError: it does not hold so many.
        """
    def held(self, now_ns: int, /) -> int:
        """Return how many requests are held, of all workers."""
    def turn_away(self, elsewhere: int = 0, /) -> None:
        """Count a request that found no room, or so many that found none at other hosts."""
    def first_byte(self, ticket: int, now_ns: int, failed: bool = False, /) -> None:
        """Note that an answer begins, or that the back end refused it; unknown tickets are ignored."""
    def finished(self, ticket: int, now_ns: int, /) -> None:
        """Count a request out; unknown tickets are ignored."""
    def counts(self, now_ns: int, /) -> tuple[int, int]:
        """Return requests in flight, and of these those without a first byte, of all workers that live."""
    def together(self, now_ns: int, /) -> tuple[int, int]:
        """Return the same of all hosts before the back end: by what they said in the last second, or by this host's part."""
    def entries(self, now_ns: int, /) -> tuple[int, int, int, float]:
        """Return how many requests were let through so far: by this worker, by this host, and by the others as far as
        they were heard. And this host's part of the back end, 1 while it hears no others."""
    def follows(self, now_ns: int, /) -> bool:
        """Return whether another host steers now; this worker takes its state over anew after that."""
    def due(self, now_ns: int, /) -> bool:
        """Return whether a step is due: it is this worker's to take then, and no other's.

        After `step_ns`; with 32 answers or more since the last step half of that later, but for the leader.
        """
    @property
    def is_leader(self) -> bool:
        """True if this worker has taken the state over and is still the one that steps."""
    def take_over(self) -> None:
        """Say that the state was taken over."""
    def close(self) -> None:
        """Let go of the buffer; any later use raises ValueError."""
