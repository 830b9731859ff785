"""Processes with one number, as the first ones of two containers have it: none is taken for another."""

from __future__ import annotations

from pathlib import Path

import pytest

from ratelimit.serving.domains.statistics import Statistics
from ratelimit.stores.acts import file as act_file
from ratelimit.stores.acts.file import ActCopy

LATE = "of the other"


def test_copy_of_acts_is_written_to_no_file_of_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, replace = tmp_path / "events.acts", Path.replace

    def overtaken(self: Path, target: Path) -> Path:
        monkeypatch.setattr(Path, "replace", replace)
        act_file._write(place, LATE.encode())
        assert place.read_text() == LATE
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", overtaken)
    ActCopy(tmp_path / "events").follow([])
    assert place.read_bytes() == b""
    assert [each.name for each in tmp_path.iterdir()] == ["events.acts"]


def test_statistics_of_a_process_that_ended_stay_when_its_number_is_used_again(tmp_path: Path) -> None:
    ended, after = Statistics(folder=tmp_path), Statistics(folder=tmp_path)
    ended.add("service_error", 3)
    ended.leave()
    after.add("service_error", 4)
    for _ in range(2):
        after.leave()
        assert after._all()[1]["service_error"] == 7
