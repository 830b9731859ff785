"""Settlement and undo, for the specification and for the core."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.cores import BOTH, Core, Limiter
from tests.support.laws import corrections
from tests.support.rule import RuleSpec
from tests.support.streams import COUNTING, PERIODS, Stream, specs, streams

Case = tuple[RuleSpec, Stream]
each_core = pytest.mark.parametrize("core", BOTH, ids=lambda core: core.name)
delays = st.one_of(st.sampled_from([0, 1, *PERIODS]), st.integers(0, 3 * max(PERIODS)))


@each_core
@given(case=streams())
def test_settling_for_less_is_as_charging_less(core: Core, case: Case) -> None:
    corrections.settling_less_is_charging_less(core, *case)


@each_core
@given(case=streams())
def test_settling_for_more_is_as_charging_more(core: Core, case: Case) -> None:
    corrections.settling_more_is_charging_more(core, *case)


@each_core
@given(case=streams())
def test_settling_twice_corrects_once(core: Core, case: Case) -> None:
    corrections.settling_repeats_nothing(core, *case)


@each_core
@given(spec=specs())
def test_refused_requests_settle_nothing(core: Core, spec: RuleSpec) -> None:
    corrections.refusals_have_nothing_to_settle(core, spec)


@each_core
@given(case=streams())
def test_undo_restores_what_was(core: Core, case: Case) -> None:
    corrections.undo_restores(core, *case)


@each_core
@given(spec=specs())
def test_undo_a_moment_later_gives_all_of_it_back(core: Core, spec: RuleSpec) -> None:
    """A bucket took a whole unit for a moment: a request of one unit got nothing back, ever."""
    corrections.soon_undone_is_undone_whole(core, spec)


@each_core
@given(case=streams(), delay_ns=delays)
def test_undo_after_a_while_mints_nothing(core: Core, case: Case, delay_ns: int) -> None:
    corrections.late_undo_never_mints(core, *case, delay_ns)


@each_core
@given(spec=specs())
def test_settling_for_far_more_is_a_bounded_debt(core: Core, spec: RuleSpec) -> None:
    corrections.debt_is_bounded(core, spec)


@each_core
@given(case=streams())
def test_costs_known_only_afterwards_still_bind(core: Core, case: Case) -> None:
    corrections.unestimated_costs_bind(core, *case)


@each_core
@given(case=streams())
def test_settled_up_and_down_the_last_report_stands(core: Core, case: Case) -> None:
    corrections.the_last_report_stands(core, *case)


@each_core
@given(case=streams())
def test_an_overrun_that_was_forgiven_is_not_given_back(core: Core, case: Case) -> None:
    corrections.what_was_forgiven_is_not_given_back(core, *case)


@each_core
@given(case=streams())
def test_settled_at_any_time_nothing_of_others_is_given_back(core: Core, case: Case) -> None:
    corrections.reports_at_any_time_never_mint(core, *case)


@each_core
@given(spec=specs())
def test_an_overrun_reported_windows_later_still_counts(core: Core, spec: RuleSpec) -> None:
    corrections.a_late_overrun_is_charged(core, spec)


@each_core
@pytest.mark.parametrize("algorithm", COUNTING)
@pytest.mark.parametrize("reports", [(50, 500, 0), (5_000, 100), (5_000, 1_500, 3_000, 7)])
def test_the_last_of_many_reports_stands(core: Core, algorithm: str, reports: tuple[int, ...]) -> None:
    limiter = Limiter(core, RuleSpec(algorithm, 1_000, PERIODS[2]))
    now_ns = limiter.start_ns
    outcome = limiter.ask(now_ns, 10)
    for actual in reports:
        outcome.settle_rule(0, actual, now_ns)
    assert limiter.peek(now_ns, 0).remaining(0) == 1_000 - reports[-1]


@each_core
def test_a_log_has_room_for_charges_that_are_settled_again_and_again(core: Core) -> None:
    limiter = Limiter(core, RuleSpec("sliding-log", 1_000, PERIODS[2]))
    now_ns = limiter.start_ns
    made = [limiter.ask(now_ns + i, 7) for i in range(48)]
    for turn in range(100):
        for i, outcome in enumerate(made):
            now_ns += 1_000
            outcome.settle_rule(0, (turn * 7 + i) % 21, now_ns)
    for outcome in made:
        outcome.settle_rule(0, 7, now_ns)
    assert limiter.peek(now_ns, 0).remaining(0) == 1_000 - 48 * 7
    assert limiter.ask(now_ns, 1_000 - 48 * 7).allowed
