"""Limiters that see nothing but the test: private memory in place of shared, a clock in place of time.

Theory of operation. A limiter that is made while this lasts gets a store of its own, whatever its policy
says. It gets the test's clock unless it is given another. It is emptied by giving
it a fresh store with a fresh hash key: nothing that was counted, or is known of actors, is left.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from weakref import WeakSet

from ratelimit.clock import Clock, ManualClock, SystemClock
from ratelimit.deciding import switch
from ratelimit.limiter import LIMITERS, Limiter
from ratelimit.policy import Policy
from ratelimit.stores import factory as storage
from ratelimit.stores.contract import Store
from ratelimit.stores.embedded.store import EmbeddedStore
from ratelimit.stores.factory import wish_of


class Isolation:
    """What a test does to the limiters of its process.

    Args:
        clock: their time; begins now, and stands still until it is told to move, when not given.
    """

    def __init__(self, clock: ManualClock | None = None) -> None:
        self.clock = ManualClock(SystemClock().now_ns()) if clock is None else clock
        self._stores: WeakSet[EmbeddedStore] = WeakSet()

    def advance(self, seconds: float) -> None:
        """Let so much time pass for every limiter."""
        self.clock.advance(seconds)

    def reset(self) -> None:
        """Forget all that was counted."""
        for limiter in self._limiters():
            limiter.runtime.use(self._open(limiter.policy, limiter.clock), enabled=limiter.is_enabled)

    @contextmanager
    def disabled(self) -> Iterator[None]:
        """Limit nothing until the block ends, nor by limiters that are made in it."""
        off = WeakSet(limiter for limiter in self._limiters() if not limiter.is_enabled)
        before, switch.forced = switch.forced, False
        self._switch(off, is_on=False)
        try:
            yield
        finally:
            switch.forced = before
            self._switch(off, is_on=True)

    def _switch(self, off: WeakSet[Limiter], *, is_on: bool) -> None:
        for limiter in self._limiters():
            if limiter not in off:
                limiter.runtime.use(limiter.store, enabled=is_on)

    def start(self) -> None:
        """Give every limiter that is made from now on a store of its own."""
        storage.opening = self._open

    def stop(self) -> None:
        """Let limiters that are made from now on have what their policies say."""
        storage.opening = None

    def _limiters(self) -> list[Limiter]:
        # Only those with a store that was opened here: a test may have given one its own.
        return [limiter for limiter in list(LIMITERS) if limiter.store in self._stores]

    def _open(self, policy: Policy, clock: Clock | None) -> Store:
        wish = wish_of(policy, needs_key=False)
        clock = self.clock if clock is None else clock
        keys = min(wish.keys, _KEYS)
        store = EmbeddedStore.private(keys=keys, block_bytes=wish.block_bytes, clock=clock)
        self._stores.add(store)
        return store


_KEYS = 20_000
"""Room for what a test counts; a policy for millions would cost each reset their memory."""


@contextmanager
def isolated(clock: ManualClock | None = None) -> Iterator[Isolation]:
    """Isolate the limiters that are made in the block; they go on with what they have after it."""
    isolation = Isolation(clock)
    before = storage.opening
    isolation.start()
    try:
        yield isolation
    finally:
        storage.opening = before
