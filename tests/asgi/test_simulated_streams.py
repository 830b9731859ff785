"""Streams by the hundred thousand that end in every way there is: charged is what was produced.

They run in worker processes over one store, two at a time. Two of three workers are killed in the
midst of their streams.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.asgi.simulation import simulate


def test_streams_that_end_in_every_way_are_charged_what_they_produced(
    request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """Hang-ups, errors, cancellations, GeneratorExit, dead workers: exact, or never less than seen."""
    count = int(request.config.getoption("--streams"))
    found = simulate(tmp_path / "store", count)
    assert found.reservations_left == ""
    assert found.charged_otherwise == 0
    assert found.slots_left == 0
    total = found.total
    assert sum(total.slots.values()) > 10
    assert total.exact > count / 5
    assert total.seen > count / 40
    assert total.lost > found.workers * 10
