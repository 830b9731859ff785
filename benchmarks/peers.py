"""Other limiters, each behind the same three functions; loops call them as their users do.

What is not installed is left out and the report says so. Imports are late and untyped:
none of these is a dependency of the library, and few of them carry types.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from importlib import import_module

Loop = Callable[[Iterable[str]], None]


@dataclass(frozen=True, slots=True)
class Peer:
    """One limiter with one limit.

    Args:
        admits: whether one more request of a key is admitted.
        decide: a loop of decisions over keys.
        verdict: the same, and reads what remains and when to retry; None if it cannot say.
    """

    admits: Callable[[str], bool]
    decide: Loop
    verdict: Loop | None = None


Maker = Callable[[int], Peer]
"""From a quota an hour to a limiter."""


def each(function: Callable[[str], object]) -> Loop:
    """Return a loop that calls a function with every key."""

    def loop(keys: Iterable[str]) -> None:
        for key in keys:
            function(key)

    return loop


def limits_fixed(quota: int) -> Peer:
    """`limits` with fixed windows."""
    return _limits(quota, "FixedWindowRateLimiter")


def limits_moving(quota: int) -> Peer:
    """`limits` with its exact moving window."""
    return _limits(quota, "MovingWindowRateLimiter")


def _limits(quota: int, strategy: str) -> Peer:
    limits = import_module("limits")
    limiter = getattr(limits.strategies, strategy)(limits.storage.MemoryStorage())
    item = limits.RateLimitItemPerHour(quota)
    hit, stats = limiter.hit, limiter.get_window_stats

    def decide(keys: Iterable[str]) -> None:
        for key in keys:
            hit(item, key)

    def verdict(keys: Iterable[str]) -> None:
        for key in keys:
            hit(item, key)
            window = stats(item, key)
            _left, _reset = window.remaining, window.reset_time

    return Peer(lambda key: bool(hit(item, key)), decide, verdict)


def floodgate(quota: int) -> Peer:
    """floodgate-rs: fixed windows in Rust; it says when to retry, and what remains when asked again."""
    mapping = import_module("floodgate").FixedMapping(capacity=quota, period=timedelta(hours=1))
    trigger, tokens = mapping.trigger, mapping.tokens

    def verdict(keys: Iterable[str]) -> None:
        for key in keys:
            _wait, _left = trigger(key), tokens(key)

    return Peer(lambda key: trigger(key) is None, each(trigger), verdict)


def rust_py_rate_limit(quota: int) -> Peer:
    """rust-py-rate-limit: fixed windows in Rust; `check` returns a dictionary with everything."""
    limiter = import_module("rust_py_rate_limit").RateLimiter(limit=quota, window_seconds=3600)
    check = limiter.check

    def verdict(keys: Iterable[str]) -> None:
        for key in keys:
            found = check(key)
            _allowed, _left, _wait = found["allowed"], found["remaining"], found["retry_after_seconds"]

    return Peer(limiter.allow, each(limiter.allow), verdict)


def throttled_gcra(quota: int) -> Peer:
    """throttled-py with GCRA."""
    throttled = import_module("throttled")
    store = throttled.MemoryStore(options={"MAX_SIZE": 20_000_000})
    hourly = throttled.rate_limiter.per_hour(quota, burst=quota)
    limit = throttled.Throttled(using="gcra", quota=hourly, store=store).limit

    def verdict(keys: Iterable[str]) -> None:
        for key in keys:
            found = limit(key)
            state = found.state
            _limited, _left, _wait = found.limited, state.remaining, state.retry_after

    return Peer(lambda key: not limit(key).limited, each(limit), verdict)


def token_bucket(quota: int) -> Peer:
    """token-bucket: yes or no."""
    module = import_module("token_bucket")
    consume = module.Limiter(quota / 3600, quota, module.MemoryStorage()).consume
    return Peer(consume, each(consume))


PEERS: dict[str, Maker] = {
    "limits, fixed window": limits_fixed,
    "limits, moving window": limits_moving,
    "floodgate-rs": floodgate,
    "rust-py-rate-limit": rust_py_rate_limit,
    "throttled-py, GCRA": throttled_gcra,
    "token-bucket": token_bucket,
}


def installed() -> tuple[dict[str, Maker], list[str]]:
    """Return the peers that can be imported and work, and the names of those that cannot."""
    found: dict[str, Maker] = {}
    absent: list[str] = []
    for name, make in PEERS.items():
        try:
            check_exact(name, make(3), 3)
        except ImportError:
            absent.append(name)
        else:
            found[name] = make
    return found, absent


def check_exact(name: str, peer: Peer, quota: int) -> None:
    """Raise unless a limiter admits exactly its quota, each of two keys.

    Raises:
        AssertionError: it does not; then timing it means nothing.
    """
    for key in ("one", "other"):
        admitted = sum(peer.admits(key) for _ in range(2 * quota))
        if admitted != quota:
            raise AssertionError(f"{name} admits {admitted} of a quota of {quota}")
