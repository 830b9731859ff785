"""Settlement: the real cost replaces the estimate, once, and nothing is minted."""

from __future__ import annotations

from tests.support.cores import Core, Limiter, reading
from tests.support.rule import RuleSpec
from tests.support.streams import Stream, walk

MOST = 2**31 - 1


def settling_less_is_charging_less(core: Core, spec: RuleSpec, stream: Stream) -> None:
    """At the same instant, a correction downwards leaves what the smaller cost would have."""
    settled, plain = Limiter(core, spec), Limiter(core, spec)
    for now_ns, cost, outcome in walk(settled, stream):
        actual = cost // 2
        correction = outcome.settle(0, actual, now_ns)
        if outcome.allowed:
            assert correction == actual - cost
            assert plain.ask(now_ns, actual).allowed
        assert reading(settled.peek(now_ns)) == reading(plain.peek(now_ns))


def settling_more_is_charging_more(core: Core, spec: RuleSpec, stream: Stream) -> None:
    """At the same instant, a correction upwards leaves what the larger cost would have."""
    settled, plain = Limiter(core, spec), Limiter(core, spec)
    for now_ns, cost, outcome in walk(settled, stream):
        actual = cost + min(2, outcome.remaining(0))
        correction = outcome.settle(0, actual, now_ns)
        if outcome.allowed:
            assert correction == actual - cost
            assert plain.ask(now_ns, actual).allowed
        assert reading(settled.peek(now_ns)) == reading(plain.peek(now_ns))


def settling_repeats_nothing(core: Core, spec: RuleSpec, stream: Stream) -> None:
    """Settling again at the same cost, or at the charged one, corrects nothing."""
    limiter = Limiter(core, spec)
    for now_ns, cost, outcome in walk(limiter, stream):
        assert outcome.settle(0, cost, now_ns) == 0
        outcome.settle(0, cost // 2, now_ns)
        before = reading(limiter.peek(now_ns))
        assert outcome.settle(0, cost // 2, now_ns) == 0
        assert reading(limiter.peek(now_ns)) == before


def refusals_have_nothing_to_settle(core: Core, spec: RuleSpec) -> None:
    """A refused request gives nothing back and owes nothing."""
    limiter = Limiter(core, spec)
    now_ns = limiter.start_ns + spec.period_ns
    limiter.ask(now_ns, spec.most)
    refused = limiter.ask(now_ns)
    before = reading(limiter.peek(now_ns))
    assert not refused.allowed
    assert refused.settle(0, 0, now_ns) == 0
    assert refused.settle(0, MOST, now_ns) == 0
    refused.undo(now_ns)
    assert reading(limiter.peek(now_ns)) == before


def undo_restores(core: Core, spec: RuleSpec, stream: Stream) -> None:
    """Undone at once, a request was never made; undone twice, the same."""
    limiter = Limiter(core, spec)
    for now_ns, _cost, _outcome in walk(limiter, stream):
        before = reading(limiter.peek(now_ns))
        outcome = limiter.ask(now_ns, min(2, spec.most))
        outcome.undo(now_ns)
        assert reading(limiter.peek(now_ns)) == before
        outcome.undo(now_ns)
        assert reading(limiter.peek(now_ns)) == before


def late_undo_never_mints(core: Core, spec: RuleSpec, stream: Stream, delay_ns: int) -> None:
    """Undone late, a request gives back no more than it took: never more remains than without it.

    And giving back never takes: at least as much remains as if it had been kept.
    """
    with_undo, without, kept = (Limiter(core, spec) for _ in range(3))
    now_ns = with_undo.start_ns
    delay_ns = with_undo.after(delay_ns)
    for limiter in (with_undo, without, kept):
        for at_ns, _cost, _outcome in walk(limiter, stream):
            now_ns = at_ns
    cost = with_undo.peek(now_ns, 0).remaining(0)
    outcome = with_undo.ask(now_ns, cost)
    kept.ask(now_ns, cost)
    outcome.undo(now_ns + delay_ns)
    for later_ns in (0, core.grain_ns, spec.period_ns // 2, spec.period_ns, 2 * spec.period_ns):
        at_ns = now_ns + delay_ns + later_ns
        least, undone, most = (limiter.peek(at_ns, 0).remaining(0) for limiter in (kept, with_undo, without))
        assert least <= undone <= most


def debt_is_bounded(core: Core, spec: RuleSpec) -> None:
    """However much was really used, the debt is at most one further quota (or burst)."""
    limiter = Limiter(core, spec)
    now_ns = limiter.start_ns + 3 * spec.period_ns
    outcome = limiter.ask(now_ns, spec.most)
    correction = outcome.settle(0, MOST, now_ns)
    assert correction == min(spec.most, MOST - spec.most)
    refused = limiter.ask(now_ns, 0)
    assert not refused.allowed
    if spec.algorithm == "token-bucket":
        unit_ticks = -(-16 * spec.period_ns // spec.quota)
        assert refused.reset_after_ns(0) == -(-2 * spec.most * unit_ticks // 16)
    assert refused.remaining(0) == 0


def unestimated_costs_bind(core: Core, spec: RuleSpec, stream: Stream) -> None:
    """A request charged nothing at first and settled afterwards counts like any other."""
    settled, plain = Limiter(core, spec), Limiter(core, spec)
    for now_ns, _cost, outcome in walk(settled, [step._replace(cost=0) for step in stream]):
        actual = min(2, outcome.remaining(0))
        assert outcome.settle(0, actual, now_ns) == actual
        assert plain.ask(now_ns, actual).allowed
        assert reading(settled.peek(now_ns)) == reading(plain.peek(now_ns))
