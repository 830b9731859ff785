"""Windows in shared memory under the keys, seconds and floats that `limits` speaks of."""

from __future__ import annotations

from collections.abc import Callable
from math import ceil

from ratelimit.clock import ApplicationClock, Clock, ManualClock, SystemClock
from ratelimit.core.algorithms.windows_by_key import Windows
from ratelimit.stores.embedded.store import EmbeddedStore

_SECOND_NS = 1_000_000_000
_YEAR_NS = 365 * 86_400 * _SECOND_NS
_SPAN_NS = 15 * _YEAR_NS
"""The age up to which memory is used; counters hold a little more."""
_KEYS_ELSEWHERE = 20_000
_BYTES_ELSEWHERE = 4 << 20
_LOOKED_AT_NS = 5 * _SECOND_NS
"""The time for which damage of the shared memory may stay unseen."""


class SharedWindows:
    """All that a storage counts. Nothing here waits for anything but memory.

    `limits` compares the ends of windows with `time.time()`. So where a test fakes that, the windows follow.

    Amounts are whole units; a fraction, which slowapi lets `cost` return, is rounded up.

    Args:
        open: opens the memory, which is closed with this.

    Raises:
        StoreError: the memory cannot be had.
    """

    def __init__(self, open: Callable[[], EmbeddedStore]) -> None:
        self.open = open
        self.use(open())

    def use(self, store: EmbeddedStore) -> None:
        """Count in another store from now on; the one before stays open."""
        self.store = store
        self._windows = Windows(store.table)
        self._first_ns = store.table.epoch_ns
        self._elsewhere: tuple[int, Windows, EmbeddedStore] | None = None
        self.clock: Clock = store.clock
        if isinstance(self.clock, SystemClock):
            self.clock = ApplicationClock(self.clock.anchor_ns)
        self._looked_ns = self.clock.now_ns()

    def __str__(self) -> str:
        return str(self.store.place or "memory of this process")

    def incr(self, key: str, expiry: float, amount: int = 1) -> int:
        """Add to a fixed window, which begins with its first charge; return what is in it."""
        windows, now_ns = self._now()
        return windows.add(self._hash(key), ceil(amount), _ns(expiry), now_ns)

    def get(self, key: str) -> int:
        """Return what is in a fixed window."""
        windows, now_ns = self._now()
        return windows.count(self._hash(key), now_ns)[0]

    def get_expiry(self, key: str) -> float:
        """Return when a fixed window ends, in seconds since 1970; now, where none is open."""
        windows, now_ns = self._now()
        return self._seconds(windows.count(self._hash(key), now_ns)[1])

    def acquire_entry(self, key: str, limit: int, expiry: int, amount: int = 1) -> bool:
        """Charge a moving window; return whether it had room."""
        windows, now_ns = self._now()
        return windows.acquire(self._hash(key), limit, ceil(amount), _ns(expiry), now_ns)

    def get_moving_window(self, key: str, limit: int, expiry: int) -> tuple[float, int]:
        """Return when the oldest charge was that counts, in seconds since 1970, and what counts."""
        windows, now_ns = self._now()
        start_ns, used = windows.moving(self._hash(key), limit, _ns(expiry), now_ns)
        return self._seconds(start_ns), used

    def acquire_sliding_window_entry(self, key: str, limit: int, expiry: int, amount: int = 1) -> bool:
        """Charge a window to which the one before counts in part; return whether there was room."""
        windows, now_ns = self._now()
        return windows.acquire_weighted(self._hash(key), limit, ceil(amount), _ns(expiry), now_ns)

    def get_sliding_window(self, key: str, expiry: int) -> tuple[int, float, int, float]:
        """Return count and seconds left of the previous window, then of the present one.

        The present one is left when it no longer counts as the previous one.
        """
        period_ns = _ns(expiry)
        windows, now_ns = self._now()
        previous, current, elapsed_ns = windows.weighted(self._hash(key), period_ns, now_ns)
        left = (period_ns - elapsed_ns) / _SECOND_NS
        return previous, left if previous else 0.0, current, left + expiry

    def clear(self, key: str) -> None:
        """Forget a key's fixed and moving windows."""
        windows, _ = self._now()
        windows.clear(self._hash(key))

    def clear_sliding_window(self, key: str, expiry: int) -> None:
        """Forget a key's sliding windows of one length."""
        windows, _ = self._now()
        windows.clear_weighted(self._hash(key), _ns(expiry))

    def reset(self) -> int:
        """Forget everything in this memory; return how many counters were in use."""
        windows, now_ns = self._now()
        return windows.clear_all(now_ns)

    def check(self) -> bool:
        """Return whether the memory is there, and in order."""
        return not self.store.table.closed and self.store.table.damage() is None

    def close(self) -> None:
        """Let go of the memory; what was counted stays for other processes."""
        self.store.close()

    def _hash(self, key: str) -> int:
        return self.store.hasher.tuple(key)

    def _now(self) -> tuple[Windows, int]:
        """Return the windows of this time, and the time."""
        now_ns = self.clock.now_ns()
        if not self._first_ns <= now_ns < self._first_ns + _SPAN_NS:
            return self._windows_elsewhere(now_ns), now_ns
        if now_ns - self._looked_ns > _LOOKED_AT_NS:
            self._looked_ns = now_ns
            self.store.renew()
        return self._windows, now_ns

    def _windows_elsewhere(self, now_ns: int) -> Windows:
        """Return windows of a time that the shared memory cannot hold, in memory of this process alone.

        Only a test has such a time: one that it fakes, before the memory was made or many years ahead.
        """
        if self._elsewhere is None or not self._elsewhere[0] <= now_ns < self._elsewhere[0] + _SPAN_NS:
            store = EmbeddedStore.private(
                keys=_KEYS_ELSEWHERE,
                block_bytes=_BYTES_ELSEWHERE,
                clock=ManualClock(max(now_ns - _YEAR_NS, 0)),
            )
            self._elsewhere = store.table.epoch_ns, Windows(store.table), store
        return self._elsewhere[1]

    def _seconds(self, at_ns: int) -> float:
        # The application compares with civil time, which may have stepped since the memory was made.
        drift_ns = self.clock.drift_ns() if hasattr(self.clock, "drift_ns") else 0
        return (at_ns + drift_ns) / _SECOND_NS


def _ns(seconds: float) -> int:
    return round(seconds * _SECOND_NS)
