"""A real server before a real queue, asked for three times what it can do: with a limit and without."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from ratelimit.demo.engine import CAPACITY
from ratelimit.demo.saturated import TARGET_S, Outcome, Second
from tests.cli.running import run
from tests.support.stopwatch import calmly

pytestmark = pytest.mark.timeout(300)
SECONDS = 8


@pytest.mark.nightly
def test_saturated_server_answers_in_time_what_it_can():
    """Two workers of uvicorn share one limit; the engine is a process of its own.

    The bounds are wide, as tests share their cores. Without a limit only the first seconds are in time.
    """

    def measured() -> dict[str, Any]:
        result = run("demo", "--saturated", "--seconds", str(2 * SECONDS), "--json")
        assert result.exit_code == 0, result.output
        found: dict[str, Any] = json.loads(result.stdout)
        return found

    said = calmly(measured)
    without, limited = said["without"], said["with"]
    assert without["refused"] == 0
    assert without["came"] > 2 * SECONDS * CAPACITY
    assert sum(without["in_time_by_second"][4:]) <= 0.1 * CAPACITY
    assert without["first_byte_p50_s"] > 2 * TARGET_S
    assert limited["in_time"] >= 0.6 * SECONDS * CAPACITY
    assert limited["first_byte_p95_s"] <= 2 * TARGET_S
    assert limited["refused"] + limited["in_time"] >= 0.9 * limited["came"]


def test_figures_are_shown_side_by_side(monkeypatch: pytest.MonkeyPatch):
    without = Outcome([Second(came=90, in_time=0, given_up=40, waits_s=[4.0] * 50)])
    limited = Outcome([Second(came=90, in_time=30, refused=60, waits_s=[0.25] * 30)])

    async def play(seconds: float, seed: int, begun: Callable[[bool], None]) -> tuple[Outcome, Outcome]:
        begun(False)
        begun(True)
        return without, limited

    monkeypatch.setattr("ratelimit.demo.saturated.play", play)
    result = run("demo", "--saturated", "--seconds", "4")
    assert result.exit_code == 0, result.output
    rows = [re.sub(r"\s+", " ", line).strip() for line in result.output.splitlines()]
    for row in ("95 % of them within 4.00 s 0.25 s", "refused, with 503 0 60", "callers that gave up 40 0"):
        assert row in rows
    assert any("first_byte" in row for row in rows)
