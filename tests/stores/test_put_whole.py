"""Files that are put whole: by several writers at once, of any process."""

from __future__ import annotations

from pathlib import Path

import pytest

from ratelimit.stores.leftovers import put_whole


def test_a_writer_that_is_overtaken_writes_to_no_file_of_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two threads, or two containers whose processes have one number, share a folder."""
    place, replace = tmp_path / "note", Path.replace

    def overtaken(self: Path, target: Path) -> Path:
        monkeypatch.setattr(Path, "replace", replace)
        put_whole(place, b"of the other")
        assert place.read_bytes() == b"of the other"
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", overtaken)
    put_whole(place, b"of the first")
    assert place.read_bytes() == b"of the first"
    assert [each.name for each in tmp_path.iterdir()] == ["note"]
