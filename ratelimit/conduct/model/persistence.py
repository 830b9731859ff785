"""Persistence through refusals: when calls are more than the retries of an ordinary client.

An ordinary client waits as `Retry-After` says, or backs off exponentially with jitter, and gives up
after a few times. It may run many requests at once, and each of them is refused and comes again. So the
measure is how many calls were refused in ten minutes, beside what the largest herd of one second would
make. Such a herd tries a few times at once, and then thrice as often as it was told to.
"""

from __future__ import annotations

from dataclasses import dataclass

SECOND_NS = 10**9
WINDOW_NS = 600 * SECOND_NS
TRIES = 8
"""Calls that a request may make whatever it was told: clients retry two to six times on their own."""
PATIENCE = 3
"""After that it may come this many times as often as it was told to."""
ORDINARY = 40
"""Refusals in a window that are nothing: a call each minute with its two or three retries."""
LEAST_RETRY_NS = SECOND_NS


@dataclass(frozen=True, slots=True)
class Persistence:
    """One principal's refusals in a window.

    Args:
        began_ns: the first of them.
        refused: all.
        herd: most in one second.
        second_ns: when the second began that is counted now.
        in_second: refusals in it.
        owed: how often a request could have tried since that came as soon as it was told to, each time.
        next_ns: when it could again.
    """

    began_ns: int = 0
    refused: int = 0
    herd: int = 0
    second_ns: int = 0
    in_second: int = 0
    owed: int = 0
    next_ns: int = 0

    def refuse(self, now_ns: int, retry_after_ns: int) -> tuple[Persistence, bool]:
        """Count a refusal; return what is known then, and whether it is a strike.

        After a strike a new window begins, as it does ten minutes after the first refusal, and when
        the clock stepped back.
        """
        elapsed_ns = now_ns - self.began_ns
        wait_ns = max(retry_after_ns, LEAST_RETRY_NS)
        if not self.refused or not 0 <= elapsed_ns < WINDOW_NS:
            return Persistence(now_ns, 1, 1, now_ns, 1, 0, now_ns + wait_ns), False
        same = 0 <= now_ns - self.second_ns < SECOND_NS
        in_second = self.in_second + 1 if same else 1
        herd = max(self.herd, in_second)
        may_try = now_ns >= self.next_ns
        owed = self.owed + may_try
        next_ns = now_ns + wait_ns if may_try else self.next_ns
        refused = self.refused + 1
        if refused > ORDINARY + herd * (TRIES + PATIENCE * owed):
            return Persistence(), True
        second_ns = self.second_ns if same else now_ns
        return Persistence(self.began_ns, refused, herd, second_ns, in_second, owed, next_ns), False
