"""Admission: both sides of every bound, for the specification and for the core."""

from __future__ import annotations

import pytest
from hypothesis import example, given

from tests.support.cores import BOTH, Core
from tests.support.laws import admission
from tests.support.rule import SECOND, RuleSpec
from tests.support.streams import COUNTING, Step, Stream, specs, streams

Case = tuple[RuleSpec, Stream]
each_core = pytest.mark.parametrize("core", BOTH, ids=lambda core: core.name)
each_algorithm = pytest.mark.parametrize("algorithm", COUNTING)


@each_core
@given(case=streams())
def test_never_more_than_the_bound_in_any_interval(core: Core, case: Case) -> None:
    admission.keeps_bound(core, *case)


@each_core
@given(case=streams())
@example(case=(RuleSpec("token-bucket", 10, SECOND, 10), [Step(0, 10), Step(1000 * SECOND, 10), Step(0, 1)]))
def test_admitted_if_and_only_if_there_is_room(core: Core, case: Case) -> None:
    admission.admits_exactly(core, *case)


@each_core
@given(spec=specs())
def test_window_boundary_burst_reaches_the_bound_and_no_more(core: Core, spec: RuleSpec) -> None:
    admission.reaches_bound(core, spec)


@each_core
@given(case=streams())
def test_refused_until_retry_after_and_allowed_exactly_then(core: Core, case: Case) -> None:
    admission.wait_is_exact(core, *case)


@each_core
@given(case=streams())
def test_remaining_is_what_would_be_allowed(core: Core, case: Case) -> None:
    admission.remaining_is_exact(core, *case)


@each_core
@given(case=streams())
def test_reset_is_when_everything_is_back(core: Core, case: Case) -> None:
    admission.reset_is_exact(core, *case)


@each_core
@given(case=streams())
def test_nothing_is_saved_up_beyond_the_burst_by_idling(core: Core, case: Case) -> None:
    admission.idle_is_fresh(core, *case)


@each_core
@given(case=streams())
def test_one_key_never_spends_anothers_budget(core: Core, case: Case) -> None:
    admission.keys_are_apart(core, *case)


@each_core
@each_algorithm
def test_bursts_after_idling_are_no_larger_than_the_burst(core: Core, algorithm: str) -> None:
    spec = RuleSpec(algorithm, 10, SECOND, 10 if algorithm == "token-bucket" else None)
    spend, idle = Step(0, 1), Step(1000 * SECOND, 1)
    admission.admits_exactly(core, spec, [spend] * 10 + [idle] + [spend] * 20)
