"""The benchmark of a replay with correlation runs the command itself, and says what it printed."""

from __future__ import annotations

from pathlib import Path

from benchmarks import replay_actors
from benchmarks.__main__ import QUESTIONS
from benchmarks.settings import Settings


def test_the_command_is_run_three_times_on_a_trace_of_its_own(tmp_path: Path) -> None:
    assert QUESTIONS[replay_actors.NAME] is replay_actors
    found = replay_actors.answer(Settings(quick=True, data=None, scratch=tmp_path))
    assert [row.aim for row in found.rows] == [replay_actors.AIM]
    (title, requests, median, spread), by_processor = found.measured
    assert title == "as printed"
    assert int(requests.replace(",", "")) > 50_000
    low, high = (float(value.replace(",", "")) for value in spread.split(" to "))
    assert 0 < low <= float(median.replace(",", "")) <= high
    assert by_processor[1] == requests
    assert not list(tmp_path.iterdir())
