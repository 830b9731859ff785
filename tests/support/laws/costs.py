"""Costs of requests: splitting gains nothing, peeking and being refused take nothing."""

from __future__ import annotations

from tests.support.cores import Core, Limiter, reading
from tests.support.rule import RuleSpec
from tests.support.streams import Stream, walk


def splitting_never_gains(core: Core, spec: RuleSpec, stream: Stream) -> None:
    """Asking for units one by one gets no more than remains, and leaves the same state."""
    whole, split = Limiter(core, spec), Limiter(core, spec)
    for now_ns, cost, outcome in walk(whole, stream):
        room = split.peek(now_ns, 0).remaining(0)
        if not outcome.allowed:
            assert cost > room or cost == 0
            continue
        assert all(split.ask(now_ns).allowed for _ in range(cost))
        assert reading(whole.peek(now_ns, 1)) == reading(split.peek(now_ns, 1))


def peeks_change_nothing(core: Core, spec: RuleSpec, stream: Stream) -> None:
    """However often one peeks, and at whatever cost, the answers stay the same."""
    quiet, curious = Limiter(core, spec), Limiter(core, spec)
    for (now_ns, cost, first), (_, _, second) in zip(walk(quiet, stream), walk(curious, stream), strict=True):
        assert reading(first) == reading(second)
        for peeked in (0, 1, cost, spec.most):
            curious.peek(now_ns, peeked)


def zero_costs_change_nothing(core: Core, spec: RuleSpec, stream: Stream) -> None:
    """A request that costs nothing takes nothing, and is refused only in debt."""
    quiet, free = Limiter(core, spec), Limiter(core, spec)
    for (now_ns, _, first), (_, _, second) in zip(walk(quiet, stream), walk(free, stream), strict=True):
        assert reading(first) == reading(second)
        assert free.ask(now_ns, 0).allowed


def refusals_charge_nothing(core: Core, spec: RuleSpec, stream: Stream) -> None:
    """A refused request leaves everything as it was."""
    limiter = Limiter(core, spec)
    for now_ns, _cost, _outcome in walk(limiter, stream):
        before = reading(limiter.peek(now_ns, 1))
        for _ in range(3):
            assert not limiter.ask(now_ns, spec.most + 1).allowed
        assert reading(limiter.peek(now_ns, 1)) == before


def charges_are_exact(core: Core, spec: RuleSpec, stream: Stream) -> None:
    """An admitted cost lowers what remains by itself, at the same instant."""
    limiter = Limiter(core, spec)
    for now_ns, _cost, outcome in walk(limiter, stream):
        before = outcome.remaining(0)
        cost = min(before, 2)
        after = limiter.ask(now_ns, cost)
        assert after.allowed
        assert after.remaining(0) == before - cost
