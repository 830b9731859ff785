"""The cost of a decision among a million keys, and the memory of one key.

Keys are taken at random, so that nothing is in a cache: neither the limiter's state nor
the key object itself. Fetching that is part of every number here, and measured on its own:
walking past the object, and reading its text to hash it. That has to wait for memory
before the limiter's own state can even be looked for. Memory is what the process grows
by while a million keys are first seen, without the key objects. It is measured once more
after a flood of ten times as many fresh keys.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from functools import partial
from itertools import cycle, islice

from benchmarks import ours
from benchmarks.hosted import Hosted
from benchmarks.machine import resident_bytes
from benchmarks.peers import PEERS, Peer, each, installed
from benchmarks.report import Answer, Row, best, number
from benchmarks.rounds import Contender, race, timed
from benchmarks.scenarios import PLENTY, at_random, keys
from benchmarks.settings import Settings

NAME = "a million keys"
OURS = "ratelimit"
NOTHING = "empty loop, one key"
FETCH = "fetching the key object"
HASHED = "hashing the key"
AIM_NS = 280.0
AIM_BYTES = 24.0
HEAVY = 1000
"""Keys that have spent their limit before the flood, and must still be refused after it."""


class ManyKeys:
    """One limiter that has seen many keys; lives in a process of its own."""

    def __init__(self, name: str, count: int) -> None:
        self._keys = keys(count)
        self._random = [self._keys[0]] * count if name == NOTHING else at_random(self._keys, count)
        self._mapping_bytes = 0
        self._limiter = self._made(name, count)
        self._next = cycle(self._random)
        before = resident_bytes()
        self._limiter.decide(self._keys)
        self._grown = resident_bytes() - before + self._allocated

    def _made(self, name: str, count: int) -> Peer:
        before = resident_bytes()
        if name in (NOTHING, FETCH):
            made = Peer(lambda key: True, _pass_over)
        elif name == HASHED:
            hasher = ours.store(1).hasher
            made = Peer(lambda key: True, each(partial(hasher.identity, hasher.kind_of("account"))))
        elif name == OURS:
            store = ours.store(count)
            self._mapping_bytes = len(store.mapping.memory)
            made = ours.meter(PLENTY, store)
        else:
            made = PEERS[name](PLENTY)
        self._allocated = resident_bytes() - before
        return made

    def turn(self, count: int) -> float:
        """Return nanoseconds a decision, over `count` keys at random."""
        # A slice of the list would touch every key before the clock runs; an iterator does not.
        chosen = islice(self._next, count)
        return timed(lambda n: self._limiter.decide(chosen), count)

    def memory(self) -> tuple[int, int]:
        """Return the bytes grown by since the first key, and the size of the table if it has one."""
        return self._grown, self._mapping_bytes


class Flooded:
    """A table that holds what it was made for, then meets ten times as many fresh keys."""

    def __init__(self, count: int, fresh: int) -> None:
        self._store = ours.store(count)
        self._limiter = ours.meter(10, self._store, "sliding-window")
        self._count, self._fresh = count, fresh

    def run(self) -> dict[str, int]:
        """Return memory before and after, and how many of the refused were admitted again."""
        heavy = keys(HEAVY)
        for key in heavy:
            for _ in range(10):
                self._limiter.admits(key)
        # Half the table: what it is made for without any loss.
        self._limiter.decide(f"early-{number}" for number in range(self._count // 2))
        before = resident_bytes()
        self._limiter.decide(f"fresh-{number}" for number in range(self._fresh))
        after = resident_bytes()
        admitted = sum(self._limiter.admits(key) for key in heavy)
        stats = self._store.table.stats(self._store.clock.now_ns())
        return {"grown": after - before, "admitted": admitted, "evictions": stats["evictions"]}


def answer(settings: Settings) -> Answer:
    """Time one limit on many keys, and weigh a key."""
    count = settings.keys
    found = Answer(NAME, f"One limit, {count:,} keys at random: what does a decision cost, and a key?")
    makers, absent = installed()
    with ExitStack() as stack:
        names = (NOTHING, FETCH, HASHED, OURS, *makers)
        hosts = {name: stack.enter_context(Hosted(ManyKeys, name, count)) for name in names}
        contenders = [_contender(*one) for one in hosts.items()]
        samples = race(contenders, rounds=settings.rounds, slice_ns=settings.slice_ns)
        memory = {name: hosts[name].ask("memory") for name in (OURS, *makers)}
    grown = {name: max(grown, size) / count for name, (grown, size) in memory.items()}
    name, value = best({name: samples[name].median for name in makers})
    found.rows.append(
        Row("one limit, keys at random", samples[OURS].median, "ns", AIM_NS, peer=name, peer_value=value)
    )
    name, value = best({name: grown[name] for name in makers})
    found.rows.append(
        Row("memory a tracked key", grown[OURS], "bytes", AIM_BYTES, peer=name, peer_value=value)
    )
    with Hosted(Flooded, count, settings.flood) as flooded:
        after = flooded.ask("run")
    if after["admitted"]:
        raise AssertionError(f"a flood freed {after['admitted']} of {HEAVY} keys that were refused")
    found.rows.append(
        Row(
            f"growth under {settings.flood:,} fresh keys", after["grown"] / settings.flood, "bytes a key", 0.1
        )
    )
    found.samples("", samples)
    for name, (bytes_grown, size) in memory.items():
        table = f"; its table is {size / count:.1f} bytes a key" if size else ""
        found.notes.append(f"{name}: memory grew by {number(bytes_grown / count)} bytes a key{table}")
    found.notes.append(
        f"after the flood all of {HEAVY:,} refused keys are still refused; "
        f"{after['evictions']:,} live entries had to go"
    )
    found.notes += [f"not installed: {name}" for name in absent]
    return found


def _contender(name: str, host: Hosted) -> Contender:
    return Contender(name, lambda count: float(host.ask("turn", count)))


def _pass_over(chosen: Iterable[str]) -> None:
    for _ in chosen:
        pass
