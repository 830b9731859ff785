"""Limiters that see nothing but the test: private memory in place of shared, a clock in place of time.

Theory of operation. A limiter that is made while this lasts gets a store of its own, whatever its policy
says. It gets the test's clock unless it is given another. It is emptied by giving
it a fresh store with a fresh hash key: nothing that was counted, or is known of actors, is left.

A limiter that is there already gets a store of its own too, and has its former one back at the end. Its time
goes on, as compiled code reads its clock; where the test's clock jumps, it jumps as far. So does the
storage for `limits`; its memory lies in the run's folder.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from weakref import WeakKeyDictionary, WeakSet

from ratelimit.clock import Clock, ManualClock, SystemClock
from ratelimit.limiter import LIMITERS, Limiter
from ratelimit.policy import Policy
from ratelimit.runtime import switch
from ratelimit.stores import factory as storage
from ratelimit.stores.contract import Store
from ratelimit.stores.embedded.store import EmbeddedStore
from ratelimit.stores.factory import WINDOWS, Isolating, Windows, wish_of
from ratelimit.testing.run_memory import keep_run_memory, open_run_memory


class Isolation:
    """The acts of a test on the limiters of its process.

    Args:
        clock: their time; begins now, and stands still until it is told to move, when not given.
    """

    def __init__(self, clock: ManualClock | None = None) -> None:
        self.clock = ManualClock(SystemClock().now_ns()) if clock is None else clock
        self._stores: WeakSet[EmbeddedStore] = WeakSet()
        self._adopted: WeakKeyDictionary[Limiter, Store] = WeakKeyDictionary()
        self._moved: WeakKeyDictionary[Windows, EmbeddedStore] = WeakKeyDictionary()
        self._before: Isolating | None = None

    def advance(self, seconds: float) -> None:
        """Let so much time pass for every limiter."""
        self.clock.advance(seconds)

    def reset(self) -> None:
        """Forget all that was counted."""
        for limiter in self._limiters():
            limiter.runtime.use(self.open(limiter.policy, limiter.clock), enabled=limiter.is_enabled)
        if storage.isolating is self:
            for windows in list(WINDOWS):
                windows.reset()

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
        """Isolate the limiters there are, and every one that is made from now on."""
        self._before, storage.isolating = storage.isolating, self
        for limiter in list(LIMITERS):
            if (
                limiter.runtime.owns_store
                and not limiter.runtime.is_closed
                and limiter.store.place is not None
            ):
                self._adopted[limiter] = limiter.store
                limiter.runtime.use(self.open(limiter.policy, limiter.clock), enabled=limiter.is_enabled)
                self._lead(limiter.clock)
        for windows in list(WINDOWS):
            self._moved[windows] = windows.store
            windows.use(windows.open())
            self.enter(windows)

    def stop(self) -> None:
        """Give what was there before its store back; what is made from now on has what its policy says."""
        storage.isolating = self._before
        for limiter, store in list(self._adopted.items()):
            self._release(limiter.clock)
            if limiter.runtime.is_closed:
                store.close()
            else:
                limiter.runtime.use(store, enabled=limiter.is_enabled)
        for windows, former in list(self._moved.items()):
            windows.store.close()
            windows.use(former)
        self._adopted.clear()
        self._moved.clear()

    def open(self, policy: Policy, clock: Clock | None) -> Store:
        """Return a limiter's store of its own."""
        wish = wish_of(policy, needs_key=False)
        clock = self.clock if clock is None else clock
        keys = min(wish.keys, _KEYS)
        store = EmbeddedStore.private(keys=keys, block_bytes=wish.block_bytes, clock=clock)
        self._stores.add(store)
        return store

    def enter(self, windows: Windows) -> None:
        """Let the clock of what counts without a policy jump with the test's."""
        self._lead(windows.clock)

    def _limiters(self) -> list[Limiter]:
        # Only those with a store that was opened here: a test may have given one its own.
        found = [limiter for limiter in list(LIMITERS) if limiter.store in self._stores]
        return [limiter for limiter in found if not limiter.runtime.is_closed]

    def _lead(self, clock: Clock) -> None:
        if isinstance(clock, SystemClock):
            self.clock.lead(clock)

    def _release(self, clock: Clock) -> None:
        if isinstance(clock, SystemClock):
            self.clock.release(clock)


_KEYS = 20_000
"""Room for what a test counts; a policy for millions would cost each reset their memory."""


def isolate(clock: ManualClock | None = None) -> Isolation:
    """Isolate the limiters of this process until it ends, as `isolated` does for a block."""
    keep_run_memory()
    isolation = Isolation(clock)
    isolation.start()
    return isolation


@contextmanager
def isolated(clock: ManualClock | None = None) -> Iterator[Isolation]:
    """Isolate the limiters of this process, those that are made in the block among them.

    Shared memory of processes that the block starts is the block's own.
    """
    memory = open_run_memory()
    isolation = Isolation(clock)
    isolation.start()
    try:
        yield isolation
    finally:
        isolation.stop()
        if memory is not None:
            memory.close()
