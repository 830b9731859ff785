"""The cost of one decision over three limits and three identities.

A token bucket by account, a sliding window by address and a fixed window by client:
all are checked, then all are charged or none. With the three values hashed in the
timed part, with hashes made before, and through the public `Limiter.decide`. The peers
are asked three times, one limit each: they cannot take back what the first one charged.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from itertools import repeat

from benchmarks import ours
from benchmarks.hosted import Hosted
from benchmarks.peers import PEERS, Peer, installed
from benchmarks.report import Answer, Row, best
from benchmarks.rounds import Contender, race, timed
from benchmarks.scenarios import ADDRESS, AGENT, HOT_KEY, MOST_IN_A_WINDOW, PLENTY, three_limits
from benchmarks.settings import Settings
from ratelimit import Limiter, Policy
from ratelimit.stores.embedded.store import EmbeddedStore

NAME = "three limits"
NOTHING = "empty loop"
BY_VALUE = "ratelimit, values hashed in the decision"
BY_HASH = "ratelimit, identities hashed before"
BY_POLICY = "ratelimit, Limiter.decide by names"
AIM_NS = 450.0

Run = Callable[[int], None]


class Three:
    """One way of deciding over three limits; lives in a process of its own."""

    def __init__(self, name: str) -> None:
        self._run = _OURS[name](ours.store()) if name in _OURS else _asked_thrice(PEERS[name](PLENTY))

    def turn(self, count: int) -> float:
        """Return nanoseconds for three limits, over `count` decisions."""
        return timed(self._run, count)


def answer(settings: Settings) -> Answer:
    """Time decisions over three limits."""
    found = Answer(NAME, "Three limits over three identities: what does one decision cost?")
    makers, absent = installed()
    _check_all_or_none()
    with ExitStack() as stack:
        hosts = {name: stack.enter_context(Hosted(Three, name)) for name in (*_OURS, *makers)}
        samples = race(
            [_contender(*one) for one in hosts.items()], rounds=settings.rounds, slice_ns=settings.slice_ns
        )
    name, value = best({name: samples[name].median for name in makers})
    for ours_too, aim in ((BY_VALUE, AIM_NS), (BY_HASH, None), (BY_POLICY, None)):
        what = ours_too.replace("ratelimit", "three limits")
        found.rows.append(Row(what, samples[ours_too].median, "ns", aim, peer=name, peer_value=value))
    found.samples("", samples)
    found.notes += [f"not installed: {name}" for name in absent]
    found.notes.append("peers are asked three times, hash without a secret, and do not charge all or none")
    return found


def _contender(name: str, host: Hosted) -> Contender:
    return Contender(name, lambda count: float(host.ask("turn", count)))


def _nothing(store: EmbeddedStore) -> Run:
    def run(count: int) -> None:
        for _ in range(count):
            pass

    return run


class _Time:
    """Instants two hours apart: a turn never fills the sliding window."""

    def __init__(self, store: EmbeddedStore) -> None:
        self._now_ns = store.clock.now_ns()

    def next(self) -> int:
        self._now_ns += 2 * ours.HOUR_NS
        return self._now_ns


def _hashed(store: EmbeddedStore) -> Run:
    decide, identity, time = (
        ours.three(store, PLENTY, MOST_IN_A_WINDOW).decide,
        store.hasher.identity,
        _Time(store),
    )
    account, ip, client = (store.hasher.kind_of(name) for name in ours.IDENTITIES)

    def run(count: int) -> None:
        now_ns = time.next()
        for _ in range(count):
            decide([identity(account, HOT_KEY), identity(ip, ADDRESS), identity(client, AGENT)], now_ns)

    return run


def _prehashed(store: EmbeddedStore) -> Run:
    decide, time = ours.three(store, PLENTY, MOST_IN_A_WINDOW).decide, _Time(store)
    values = zip(ours.IDENTITIES, (HOT_KEY, ADDRESS, AGENT), strict=True)
    identities = [store.hasher.identity(store.hasher.kind_of(name), value) for name, value in values]

    def run(count: int) -> None:
        now_ns = time.next()
        for _ in range(count):
            decide(identities, now_ns)

    return run


def _named(store: EmbeddedStore) -> Run:
    policy = Policy.from_toml(three_limits(PLENTY, MOST_IN_A_WINDOW, PLENTY))
    decide, time = Limiter(policy, store=store).decide, _Time(store)

    def run(count: int) -> None:
        now_ns = time.next()
        for _ in range(count):
            decide(path="/v1/chat", identities={"account": HOT_KEY}, client=ADDRESS, now_ns=now_ns)

    return run


_OURS: dict[str, Callable[[EmbeddedStore], Run]] = {
    NOTHING: _nothing,
    BY_VALUE: _hashed,
    BY_HASH: _prehashed,
    BY_POLICY: _named,
}


def _asked_thrice(limiter: Peer) -> Run:
    decide = limiter.decide

    def run(count: int) -> None:
        # One loop a key: what goes round the three calls would be counted against the peer.
        for value in (HOT_KEY, ADDRESS, AGENT):
            decide(repeat(value, count))

    return run


def _check_all_or_none() -> None:
    store = ours.store()
    rules = [
        ours.rule(5, "wide"),
        ours.rule(2, "narrow", "fixed-window"),
        ours.rule(5, "other", "sliding-window"),
    ]
    plan = store.plan(rules, [[0], [1], [2]])
    now_ns = store.clock.now_ns()
    outcomes = [plan.decide([1, 2, 3], now_ns) for _ in range(4)]
    if [one.allowed for one in outcomes] != [True, True, False, False] or outcomes[-1].remaining(0) != 3:
        raise AssertionError("three limits do not admit what they should, or charge what they refuse")
