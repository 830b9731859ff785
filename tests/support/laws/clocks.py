"""Time that steps back: it takes nothing and mints nothing.

A step is shallow if it is no longer than a minute, or than what may lie ahead of now in
good order. That is the time a burst takes to flow in, or one window.
"""

from __future__ import annotations

from tests.support.bounds import check_bound
from tests.support.cores import Core, Limiter
from tests.support.rule import DAY, MINUTE, RuleSpec
from tests.support.streams import Stream, walk


def far_ahead(limiter: Limiter, spec: RuleSpec) -> int:
    """Return a late instant: many periods on, yet within the years that a table spans."""
    return limiter.start_ns + min(500 * spec.period_ns, 12 * 366 * DAY)


def shallow(spec: RuleSpec) -> int:
    """Return the longest shallow step."""
    if spec.algorithm == "token-bucket":
        return max(MINUTE, spec.most * spec.period_ns // spec.quota)
    return max(MINUTE, spec.period_ns)


def steps_back_never_mint(core: Core, spec: RuleSpec, stream: Stream) -> None:
    """With the clock jumping about, no deeper than shallow, the bound holds as if it had stood still instead.

    The instant that counts for a charge is the latest at which anything was charged:
    more than that a limiter cannot know.
    """
    admitted: list[tuple[int, int]] = []
    limiter = Limiter(core, spec)
    latest_ns = limiter.start_ns
    for now_ns, cost, outcome in walk(limiter, stream, reach_ns=shallow(spec)):
        if outcome.allowed and cost:
            latest_ns = max(latest_ns, now_ns)
            admitted.append((latest_ns, cost))
    check_bound(spec, admitted)


def step_back_refills_nothing(core: Core, spec: RuleSpec) -> None:
    """A caller that has spent everything is still refused when the clock has stepped back, however far."""
    for step_ns in (
        core.grain_ns,
        spec.period_ns // 2,
        spec.period_ns,
        3 * spec.period_ns,
        400 * spec.period_ns,
    ):
        limiter = Limiter(core, spec)
        now_ns = far_ahead(limiter, spec)
        assert limiter.ask(now_ns, spec.most).allowed
        back_ns = max(limiter.start_ns, limiter.after(now_ns - step_ns))
        assert not limiter.peek(back_ns).allowed
        assert not limiter.ask(back_ns).allowed
        assert step_ns > shallow(spec) or not limiter.ask(now_ns).allowed


def deep_step_back_locks_out_no_longer_than_a_window(core: Core, spec: RuleSpec) -> None:
    """However far the clock steps back, the wait is that of a caller that has just spent everything."""
    for depth in (1.5, 2, 3, 50, 400):
        limiter = Limiter(core, spec)
        now_ns = far_ahead(limiter, spec)
        assert limiter.ask(now_ns, spec.most).allowed
        back_ns = max(limiter.start_ns, limiter.after(now_ns - int(depth * shallow(spec))))
        refused = limiter.ask(back_ns)
        wait_ns = refused.retry_after_ns(0)
        # The step, where it is shallow, and then the wait of any caller that has just spent everything.
        assert 0 < wait_ns <= 3 * shallow(spec) + spec.period_ns
        over_ns = back_ns + limiter.after(wait_ns)
        assert not limiter.ask(over_ns - limiter.grain_ns).allowed
        assert limiter.ask(over_ns).allowed


def shallow_swing_mints_nothing(core: Core, spec: RuleSpec) -> None:
    """A clock that swings, spending at both ends, gets what one end alone would."""
    limiter = Limiter(core, spec)
    now_ns = far_ahead(limiter, spec)
    taken = 0
    for swing in range(20):
        at_ns = limiter.after(now_ns - (swing % 2) * shallow(spec))
        while limiter.ask(at_ns).allowed:
            taken += 1
            assert taken <= spec.most
    assert taken == spec.most
