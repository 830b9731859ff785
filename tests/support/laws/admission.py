"""Laws of admission: the bound from both sides, and what an outcome foretells."""

from __future__ import annotations

from tests.support.bounds import check_bound, family, fits, most_in_any, start_of
from tests.support.cores import Core, Limiter, reading
from tests.support.rule import RuleSpec
from tests.support.streams import Stream, walk


def keeps_bound(core: Core, spec: RuleSpec, stream: Stream) -> None:
    """Never is more admitted than the algorithm's bound, over any interval."""
    limiter = Limiter(core, spec)
    admitted = [(now, cost) for now, cost, outcome in walk(limiter, stream) if outcome.allowed]
    check_bound(spec, admitted)


def admits_exactly(core: Core, spec: RuleSpec, stream: Stream) -> None:
    """A request is admitted if and only if the definition finds room for it."""
    admitted: list[tuple[int, int]] = []
    for now_ns, cost, outcome in walk(Limiter(core, spec), stream):
        assert outcome.allowed == fits(spec, admitted, now_ns, cost)
        if outcome.allowed:
            admitted.append((now_ns, cost))


def reaches_bound(core: Core, spec: RuleSpec) -> None:
    """A client that asks at the worst instants gets the whole bound, and not one more."""
    limiter = Limiter(core, spec)
    period, start_ns, grain = spec.period_ns, limiter.start_ns, limiter.grain_ns
    edge_ns = start_of(spec, start_ns) + 2 * period
    before, after = {
        "token-bucket": (start_ns, start_ns + period),
        "fixed-window": (edge_ns - grain, edge_ns),
        "carried-window": (edge_ns - grain, edge_ns),
        "sliding-window": (edge_ns - grain, edge_ns + period - 2 * grain),
        "sliding-log": (start_ns, start_ns + period - grain),
    }[family(spec)]
    expected = {
        "token-bucket": spec.most + min(spec.most, 16 * period // -(-16 * period // spec.quota)),
        "fixed-window": 2 * spec.quota,
        "carried-window": spec.most + spec.quota,
        "sliding-window": 2 * spec.quota - -(-2 * spec.quota * grain // period),
        "sliding-log": spec.quota,
    }[family(spec)]
    admitted: list[tuple[int, int]] = []
    for instant in (before, after):
        while len(admitted) <= 2 * (spec.most + spec.quota) and limiter.ask(instant).allowed:
            admitted.append((instant, 1))
    assert len(admitted) == expected
    check_bound(spec, admitted)
    if spec.algorithm == "sliding-log":
        assert limiter.ask(start_ns + period).allowed
        assert most_in_any([*admitted, (start_ns + period, 1)], period) == spec.quota


def wait_is_exact(core: Core, spec: RuleSpec, stream: Stream) -> None:
    """A refused request is refused until `retry_after`, and allowed exactly then."""
    limiter = Limiter(core, spec)
    for now_ns, cost, outcome in walk(limiter, stream):
        wait_ns = outcome.retry_after_ns(0)
        if outcome.allowed:
            assert wait_ns == 0
        elif cost > spec.most:
            assert wait_ns == -1
        else:
            assert wait_ns > 0
            over_ns = now_ns + limiter.after(wait_ns)
            assert not limiter.peek(over_ns - limiter.grain_ns, cost).allowed
            assert limiter.peek(over_ns, cost).allowed


def remaining_is_exact(core: Core, spec: RuleSpec, stream: Stream) -> None:
    """What remains would be allowed, and one unit more would not."""
    limiter = Limiter(core, spec)
    for now_ns, _cost, outcome in walk(limiter, stream):
        remaining = outcome.remaining(0)
        assert 0 <= remaining <= spec.most
        assert limiter.peek(now_ns, remaining).allowed
        assert not limiter.peek(now_ns, remaining + 1).allowed


def reset_is_exact(core: Core, spec: RuleSpec, stream: Stream) -> None:
    """After `reset_after` the whole burst is there, and not one moment before."""
    limiter = Limiter(core, spec)
    for now_ns, _cost, outcome in walk(limiter, stream):
        reset_ns = outcome.reset_after_ns(0)
        assert reset_ns >= 0
        over_ns = now_ns + limiter.after(reset_ns)
        assert limiter.peek(over_ns, spec.most).allowed
        assert reset_ns == 0 or not limiter.peek(over_ns - limiter.grain_ns, spec.most).allowed


def idle_is_fresh(core: Core, spec: RuleSpec, stream: Stream) -> None:
    """Once everything is back, a key answers as one never seen, for ever."""
    limiter = Limiter(core, spec)
    for now_ns, _cost, outcome in walk(limiter, stream):
        for later_ns in (now_ns + limiter.after(outcome.reset_after_ns(0)), now_ns + 1000 * spec.period_ns):
            for cost in (0, 1, spec.most, spec.most + 1):
                seen, unseen = limiter.peek(later_ns, cost), limiter.peek(later_ns, cost, key=2)
                assert reading(seen) == reading(unseen)


def keys_are_apart(core: Core, spec: RuleSpec, stream: Stream) -> None:
    """What one key takes, another keeps."""
    limiter = Limiter(core, spec)
    for now_ns, _cost, _outcome in walk(limiter, stream):
        assert limiter.peek(now_ns, 0, key=2).remaining(0) == spec.most
