"""Costs of requests, for the specification and for the core."""

from __future__ import annotations

import pytest
from hypothesis import given

from tests.support.cores import BOTH, Core
from tests.support.laws import costs
from tests.support.rule import RuleSpec
from tests.support.streams import Stream, streams

Case = tuple[RuleSpec, Stream]
each_core = pytest.mark.parametrize("core", BOTH, ids=lambda core: core.name)


@each_core
@given(case=streams())
def test_splitting_a_cost_never_gains(core: Core, case: Case) -> None:
    costs.splitting_never_gains(core, *case)


@each_core
@given(case=streams())
def test_peeks_change_nothing(core: Core, case: Case) -> None:
    costs.peeks_change_nothing(core, *case)


@each_core
@given(case=streams())
def test_zero_costs_change_nothing(core: Core, case: Case) -> None:
    costs.zero_costs_change_nothing(core, *case)


@each_core
@given(case=streams())
def test_refused_requests_charge_nothing(core: Core, case: Case) -> None:
    costs.refusals_charge_nothing(core, *case)


@each_core
@given(case=streams())
def test_admitted_requests_charge_exactly_their_cost(core: Core, case: Case) -> None:
    costs.charges_are_exact(core, *case)
