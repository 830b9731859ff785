"""Persistence through refusals: calls that no callers make who wait as they are told.

Theory of operation. How many callers an account has is not known, and a fleet that obeys may call as often
as a loop that does not. Only the wait tells them apart: a fleet is silent until its wait is over, and a
loop is not. So while refusals come faster than four a second, each round of them is told to wait twice as
long as the round before. All callers that are known are back after the wait of the round before. What comes
later in a round is *early*: it was told to come after the round. Callers that have just arrived, or retry
on their own, come early too. So a strike takes more of them than four for each call of the busiest second.
At the longest wait the rounds get shorter again, uncounted.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

SECOND_NS = 10**9
LONGEST_S = 60
"""The longest wait that refusals alone lead to: clients of language models ignore a longer one."""
MOST_A_SECOND = 4
"""Refusals a second that are nothing, such as those of a loop that calls once a second."""
ORDINARY = 40
"""Early calls that are nothing."""
TRIES = 4
"""Early calls for each of the busiest second: clients that are told too long a wait retry on their own."""
ARRIVAL_S = 20
"""A caller that is there shows itself within this time, whatever it was told."""
LATE_S = 1
"""It may come so much later than it was told to: waits are told in whole seconds."""


@dataclass(frozen=True, slots=True)
class Persistence:
    """One account's refusals at one limit.

    Args:
        began_ns: when the round began.
        refused: refusals in it.
        herd: most in one second, since the shortest round.
        second_ns: when the second began that is counted now.
        in_second: refusals in it.
        early: calls since the shortest round that came before they were told to.
        wait_s: how long the round is, and what its calls are told.
        before_s: the same of the round before, longer while rounds get shorter; 0: this is the first.
    """

    began_ns: int = 0
    refused: int = 0
    herd: int = 0
    second_ns: int = 0
    in_second: int = 0
    early: int = 0
    wait_s: int = 0
    before_s: int = 0

    def refuse(self, now_ns: int, room_after_ns: int) -> tuple[Persistence, int, bool]:
        """Count a refusal; return what is known, how long the caller is told to wait, and if it is a strike.

        Args:
            now_ns: when; after a clock that stepped back all begins anew.
            room_after_ns: when the limit has room again.
        """
        known = self._round(now_ns, room_after_ns)
        elapsed_ns = now_ns - known.began_ns
        is_same = 0 <= now_ns - known.second_ns < SECOND_NS
        in_second = known.in_second + 1 if is_same else 1
        herd, refused = max(known.herd, in_second), known.refused + 1
        early = known.early + (elapsed_ns >= known.silent_ns)
        is_busy = refused * SECOND_NS >= MOST_A_SECOND * elapsed_ns
        if is_busy and early > ORDINARY + TRIES * herd:
            return Persistence(), max(room_after_ns, known.wait_s * SECOND_NS), True
        second_ns = known.second_ns if is_same else now_ns
        counted = Persistence(
            known.began_ns, refused, herd, second_ns, in_second, early, known.wait_s, known.before_s
        )
        # The first round is told when there is room: most refusals are followed by no other.
        return counted, max(room_after_ns, known.wait_s * SECOND_NS if known.before_s else 0), False

    @property
    def silent_ns(self) -> int:
        """From when on in the round its callers are silent if they wait as they are told."""
        if self.before_s > self.wait_s:
            return (self.wait_s + 1) * SECOND_NS  # not at all
        shown_s = self.before_s or self.wait_s / 2
        return int(min(shown_s + LATE_S, ARRIVAL_S) * SECOND_NS)

    def _round(self, now_ns: int, room_after_ns: int) -> Persistence:
        """Return the round that a refusal belongs to."""
        wait_ns, elapsed_ns = self.wait_s * SECOND_NS, now_ns - self.began_ns
        is_sane = self.wait_s <= LONGEST_S and self.before_s <= LONGEST_S  # shared memory may say anything
        if is_sane and 0 <= elapsed_ns < wait_ns:
            return self
        is_crowded = self.refused >= MOST_A_SECOND * self.wait_s
        first_s = min(LONGEST_S, max(1, ceil(room_after_ns / SECOND_NS)))
        if not wait_ns or not is_sane or not is_crowded or not 0 <= elapsed_ns < 2 * wait_ns:
            return Persistence(now_ns, wait_s=first_s)
        longer_s, shorter_s = self.wait_s * 2, self.wait_s // 2
        is_growing = self.before_s < self.wait_s
        next_s = longer_s if is_growing and longer_s <= LONGEST_S else shorter_s
        if next_s < first_s:
            return Persistence(self.began_ns + wait_ns, wait_s=first_s)
        return Persistence(
            self.began_ns + wait_ns,
            0,
            self.herd,
            self.second_ns,
            self.in_second,
            self.early,
            next_s,
            self.wait_s,
        )
