"""Drawings of the pages: as the script draws them, with words for readers who do not see them."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
IMAGES = ROOT / "docs" / "images"


def test_drawings_are_what_the_script_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / ".ci"))
    drawings = importlib.import_module("drawings").drawings()
    assert len(drawings) >= 10
    for name, drawing in drawings.items():
        assert (IMAGES / name).read_text("utf-8") == drawing, "run: .venv/bin/python .ci/drawings.py"


def test_algorithms_differ_where_the_page_says_so() -> None:
    told = {
        path.stem: re.search(r">at most (\d+) in any minute<", path.read_text("utf-8"))
        for path in IMAGES.glob("algorithm-*.svg")
    }
    most = {name.removeprefix("algorithm-"): int(found[1]) for name, found in told.items() if found}
    assert most["sliding-log"] == 10
    assert 10 < most["sliding-window"] < 20
    assert 10 < most["token-bucket"] <= 20
    assert 3 < most["token-bucket-burst-3"] <= 13
    assert most["fixed-window"] == 20


@pytest.mark.parametrize("path", sorted(IMAGES.glob("*.svg")), ids=lambda path: path.name)
def test_drawing_is_used_and_has_words(path: Path) -> None:
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    found = [
        alt for page in pages for alt in re.findall(rf"!\[([^\]]*)\]\([\w/.]*{path.name}\)", page.read_text())
    ]
    assert found
    assert all(len(alt) > 20 for alt in found)
