"""Settlement: the real cost replaces the estimate, once, and nothing is minted."""

from __future__ import annotations

from typing import Any

from tests.support.cores import Core, Limiter, reading
from tests.support.rule import RuleSpec
from tests.support.streams import Stream, walk

MOST = 2**31 - 1


def settling_less_is_charging_less(core: Core, spec: RuleSpec, stream: Stream) -> None:
    """At the same instant, a correction downwards leaves what the smaller cost would have."""
    settled, plain = Limiter(core, spec), Limiter(core, spec)
    for now_ns, cost, outcome in walk(settled, stream):
        actual = cost // 2
        correction = outcome.settle_rule(0, actual, now_ns)
        if outcome.allowed:
            assert correction == actual - cost
            assert plain.ask(now_ns, actual).allowed
        assert reading(settled.peek(now_ns)) == reading(plain.peek(now_ns))


def settling_more_is_charging_more(core: Core, spec: RuleSpec, stream: Stream) -> None:
    """At the same instant, a correction upwards leaves what the larger cost would have."""
    settled, plain = Limiter(core, spec), Limiter(core, spec)
    for now_ns, cost, outcome in walk(settled, stream):
        actual = cost + min(2, outcome.remaining(0))
        correction = outcome.settle_rule(0, actual, now_ns)
        if outcome.allowed:
            assert correction == actual - cost
            assert plain.ask(now_ns, actual).allowed
        assert reading(settled.peek(now_ns)) == reading(plain.peek(now_ns))


def settling_repeats_nothing(core: Core, spec: RuleSpec, stream: Stream) -> None:
    """Settling again at the same cost, or at the charged one, corrects nothing."""
    limiter = Limiter(core, spec)
    for now_ns, cost, outcome in walk(limiter, stream):
        assert outcome.settle_rule(0, cost, now_ns) == 0
        outcome.settle_rule(0, cost // 2, now_ns)
        before = reading(limiter.peek(now_ns))
        assert outcome.settle_rule(0, cost // 2, now_ns) == 0
        assert reading(limiter.peek(now_ns)) == before


def refusals_have_nothing_to_settle(core: Core, spec: RuleSpec) -> None:
    """A refused request gives nothing back and owes nothing."""
    limiter = Limiter(core, spec)
    now_ns = limiter.start_ns + spec.period_ns
    limiter.ask(now_ns, spec.most)
    refused = limiter.ask(now_ns)
    before = reading(limiter.peek(now_ns))
    assert not refused.allowed
    assert refused.settle_rule(0, 0, now_ns) == 0
    assert refused.settle_rule(0, MOST, now_ns) == 0
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


def soon_undone_is_undone_whole(core: Core, spec: RuleSpec) -> None:
    """Undone a moment later, the only request leaves nothing behind; a second one is not undone with it."""
    now_ns = Limiter(core, spec).start_ns + 3 * spec.period_ns
    later_ns = now_ns + core.grain_ns
    for cost in {1, spec.most}:
        alone, followed = Limiter(core, spec), Limiter(core, spec)
        outcome, first = alone.ask(now_ns, cost), followed.ask(now_ns, cost)
        assert followed.ask(now_ns, spec.most - cost).allowed
        assert followed.peek(now_ns, 0).remaining(0) == 0
        for made in (outcome, first):
            assert made.settle_rule(0, 0, later_ns) <= 0
        assert alone.peek(later_ns, 0).remaining(0) == spec.most
        assert alone.ask(later_ns, spec.most).allowed
        assert followed.peek(later_ns, 0).remaining(0) >= cost


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
    """However much was really used, the debt is at most what the rule says: by default one further quota."""
    limiter = Limiter(core, spec)
    now_ns = limiter.start_ns + 3 * spec.period_ns
    outcome = limiter.ask(now_ns, spec.most)
    correction = outcome.settle_rule(0, MOST, now_ns)
    assert correction == min(spec.most_counted, MOST) - spec.most
    refused = limiter.ask(now_ns, 0)
    assert refused.allowed is (spec.debt == 0)  # it takes nothing, and nothing is owed
    if spec.algorithm == "token-bucket":
        unit_ticks = -(-16 * spec.period_ns // spec.quota)
        assert refused.reset_after_ns(0) == -(-spec.most_counted * unit_ticks // 16)
    assert refused.remaining(0) == 0


def unestimated_costs_bind(core: Core, spec: RuleSpec, stream: Stream) -> None:
    """A request charged nothing at first and settled afterwards counts like any other."""
    settled, plain = Limiter(core, spec), Limiter(core, spec)
    for now_ns, _cost, outcome in walk(settled, [step._replace(cost=0) for step in stream]):
        actual = min(2, outcome.remaining(0))
        assert outcome.settle_rule(0, actual, now_ns) == actual
        assert plain.ask(now_ns, actual).allowed
        assert reading(settled.peek(now_ns)) == reading(plain.peek(now_ns))


def the_last_report_stands(core: Core, spec: RuleSpec, stream: Stream) -> None:
    """Many requests, each settled many times and interleaved, count what each reported last, to the unit.

    All at one instant, so nothing drains; and within what is left, so nothing is forgiven.
    """
    limiter, plain = Limiter(core, spec), Limiter(core, spec)
    now_ns = limiter.start_ns + 3 * spec.period_ns
    made: list[Any] = []
    last: list[int] = []
    for turn, (_gap, cost) in enumerate(stream):
        left = limiter.peek(now_ns, 0).remaining(0)
        if turn % 3 == 0:
            made.append(limiter.ask(now_ns, min(cost, left)))
            last.append(min(cost, left))
        else:
            which = turn * 7 % len(made)
            actual = min(cost * (turn % 4), last[which] + left)
            assert made[which].settle_rule(0, actual, now_ns) == actual - last[which]
            last[which] = actual
        assert limiter.peek(now_ns, 0).remaining(0) == spec.most - sum(last)
    assert plain.ask(now_ns, sum(last)).allowed
    assert reading(limiter.peek(now_ns)) == reading(plain.peek(now_ns))


def what_was_forgiven_is_not_given_back(core: Core, spec: RuleSpec, stream: Stream) -> None:
    """A report beyond all bounds, taken back, leaves what the last one says, and others' charges alone."""
    limiter, plain = Limiter(core, spec), Limiter(core, spec)
    now_ns = limiter.start_ns + 3 * spec.period_ns
    for _gap, cost in stream:
        for each in (limiter, plain):
            each.ask(now_ns, min(cost, 1))
        left = plain.peek(now_ns, 0).remaining(0)
        outcome = limiter.ask(now_ns, min(1, left))
        outcome.settle_rule(0, MOST, now_ns)
        outcome.settle_rule(0, left, now_ns)
        assert limiter.peek(now_ns, 0).remaining(0) == 0
        outcome.settle_rule(0, 5 * spec.most, now_ns)
        outcome.settle_rule(0, 0, now_ns)
        assert reading(limiter.peek(now_ns)) == reading(plain.peek(now_ns))


def reports_at_any_time_never_mint(core: Core, spec: RuleSpec, stream: Stream) -> None:
    """Settled at any time, up and down, across windows: a request never gives back what others were charged.

    One request is settled over and over while others are charged. Never more is left than without it.
    """
    limiter, others = Limiter(core, spec), Limiter(core, spec)
    now_ns = limiter.start_ns + 3 * spec.period_ns
    settled = limiter.ask(now_ns, 1)
    for turn, (gap, cost) in enumerate(stream):
        now_ns = limiter.after(now_ns + (gap if isinstance(gap, int) else 0))
        if turn % 3 == 0:
            if limiter.ask(now_ns, cost).allowed:
                assert others.ask(now_ns, cost).allowed
        else:
            settled.settle_rule(0, cost * (turn % 5) ** 2, now_ns)
        assert limiter.peek(now_ns, 0).remaining(0) <= others.peek(now_ns, 0).remaining(0)
    settled.settle_rule(0, 0, now_ns)
    assert limiter.peek(now_ns, 0).remaining(0) <= others.peek(now_ns, 0).remaining(0)


def a_late_overrun_is_charged(core: Core, spec: RuleSpec) -> None:
    """What a request turns out to have cost more counts although the window it was charged to is over."""
    limiter = Limiter(core, spec)
    now_ns = limiter.start_ns + 3 * spec.period_ns
    outcome = limiter.ask(now_ns, 1)
    now_ns += limiter.after(3 * spec.most * spec.period_ns)
    assert outcome.settle_rule(0, 1 + spec.most, now_ns) == spec.most
    assert limiter.peek(now_ns, 0).remaining(0) == 0
    assert outcome.settle_rule(0, 0, now_ns) == -spec.most
    assert limiter.peek(now_ns, 0).remaining(0) == spec.most
