"""Records of steps that follow a refusal: types name the same steps, and each has its words."""

from __future__ import annotations

from typing import get_args

import pytest

from ratelimit.conduct.metrics import CONDUCT_STEPS
from ratelimit.features.steps import LENIENT, STEPS, FirstStep, MildStep, RefusalStep, Step
from ratelimit.telemetry.names import ACTED, DECISIONS


def test_types_name_the_steps_that_have_records() -> None:
    assert get_args(Step) == tuple(step.name for step in STEPS)  # the mildest first
    assert get_args(MildStep) == CONDUCT_STEPS
    assert set(get_args(FirstStep)) == {step.name for step in STEPS if step.is_first}


@pytest.mark.parametrize("step", LENIENT, ids=lambda step: step.name)
def test_step_that_may_stand_first_says_what_it_does(step: RefusalStep) -> None:
    assert all((step.verb, step.says, step.detail, step.passed, step.replayed))
    assert bool(step.asked) == step.asks


def test_metrics_have_a_value_for_each_step_that_they_count() -> None:
    actions = {label.name: label.values for label in DECISIONS.labels}["action"]
    assert {step.name for step in LENIENT} < set(actions)
    counted = {label.name: label.values for label in ACTED.labels}["action"]
    assert counted == tuple(step.name for step in STEPS if step.counted)
