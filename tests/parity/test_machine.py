"""Whole decisions, settlements, undoing and changed quotas, in any order, against the specification."""

from __future__ import annotations

from hypothesis.stateful import run_state_machine_as_test

from tests.support.cores import BOTH
from tests.support.machine import Decisions


def test_decisions_agree() -> None:
    run_state_machine_as_test(lambda: Decisions(BOTH))  # type: ignore[no-untyped-call]
