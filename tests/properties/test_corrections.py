"""Settlement and undo, for the specification and for the core."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.cores import BOTH, Core
from tests.support.laws import corrections
from tests.support.rule import RuleSpec
from tests.support.streams import PERIODS, Stream, specs, streams

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
