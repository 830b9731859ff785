"""Clocks that jump, for the specification and for the core."""

from __future__ import annotations

import pytest
from hypothesis import given

from tests.support.cores import BOTH, Core
from tests.support.laws import clocks
from tests.support.rule import RuleSpec
from tests.support.streams import Stream, specs, streams

Case = tuple[RuleSpec, Stream]
each_core = pytest.mark.parametrize("core", BOTH, ids=lambda core: core.name)


@each_core
@given(case=streams(backwards=True))
def test_clock_jumps_backwards_and_mints_nothing(core: Core, case: Case) -> None:
    clocks.steps_back_never_mint(core, *case)


@each_core
@given(spec=specs())
def test_clock_jumps_backwards_and_the_refused_stay_refused(core: Core, spec: RuleSpec) -> None:
    clocks.step_back_refills_nothing(core, spec)


@each_core
@given(spec=specs())
def test_clock_swings_and_mints_nothing(core: Core, spec: RuleSpec) -> None:
    clocks.shallow_swing_mints_nothing(core, spec)


@each_core
@given(spec=specs())
def test_clock_jumps_far_back_and_locks_nobody_out(core: Core, spec: RuleSpec) -> None:
    clocks.deep_step_back_locks_out_no_longer_than_a_window(core, spec)
