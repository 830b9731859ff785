"""Prose gets plainer: no room has more riddles or long sentences than words.toml allows."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs import words

COUNTED: dict[str, dict[str, int]] = {room: dict(kinds) for room, kinds in words.counted().items()}
ALLOWED = words.allowed()


@pytest.mark.parametrize("room", sorted(COUNTED | ALLOWED))
def test_no_room_has_more_than_it_may(room: str) -> None:
    for kind in ("pronouns", "long"):
        there = COUNTED.get(room, {}).get(kind, 0)
        most = ALLOWED.get(room, {}).get(kind, 0)
        assert there <= most, (
            f"{room} has {there} {kind}, {most} are allowed. Name the account, the worker, the caller; "
            f"one idea a sentence. To see them: {words.COMMAND} {room}. After a move: {words.COMMAND}"
        )
        assert there == most, f"lower the number in {words.BASELINE.name}: run {words.COMMAND}"


@pytest.mark.parametrize(
    ("name", "text", "pronouns", "long"),
    [
        ("page.md", "Whoever asks is told. Nobody else is.", 2, 0),
        ("page.md", "`who` and\n\n```\nwho\n```\n\n<!-- who -->\n", 0, 0),
        ("page.md", "a " * 26 + "end.", 0, 1),
        ("page.md", "a " * 15 + "end. " + "A " * 15 + "end.", 0, 0),
        ("page.md", "| " + "a " * 15 + "| " + "a " * 15 + "|", 0, 0),
        ("page.md", "- " + "a " * 15 + "\n- " + "a " * 15, 0, 0),
        ("code.py", '"""Says who."""\nx = "who"  # whose\ny = """who"""\n', 2, 0),
        ("code.pyx", "# " + "a " * 15 + "\n# " + "a " * 15 + "\ncdef int x  # noqa: who\n", 0, 1),
        ("code.py", "# " + "a " * 15 + "\nx = 1\n# " + "a " * 15 + "\n", 0, 0),
        ("code.py", "x = 1  # " + "a " * 15 + "\ny = 1  # " + "a " * 15 + "\n", 0, 0),
        ("code.py", "x = 1  # " + "a " * 15 + "\n# " + "a " * 15 + "\n", 0, 1),
        ("code.lua", "-- whose\nlocal who = 1\n", 1, 0),
    ],
)
def test_what_is_counted(
    name: str, text: str, pronouns: int, long: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(words, "ROOT", tmp_path)
    (tmp_path / name).write_text(text, "utf-8")
    kinds = [place.kind for place in words.places(tmp_path / name)]
    assert (kinds.count("pronouns"), kinds.count("long")) == (pronouns, long)


def test_baseline_is_lowered_and_never_raised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(words, "ROOT", tmp_path)
    monkeypatch.setattr(words, "BASELINE", tmp_path / "words.toml")
    page = tmp_path / "docs" / "page.md"
    page.parent.mkdir()
    page.write_text("Who asks whom?", "utf-8")
    assert words.lower() == 0
    assert words.allowed() == {"docs": {"pronouns": 2, "long": 0}}
    page.write_text("Who asks?", "utf-8")
    assert words.lower() == 0
    assert words.allowed() == {"docs": {"pronouns": 1, "long": 0}}
    page.write_text("Who asks whose friend?", "utf-8")
    assert words.lower() == 1
    assert words.allowed() == {"docs": {"pronouns": 1, "long": 0}}


def test_rooms_may_move(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(words, "ROOT", tmp_path)
    monkeypatch.setattr(words, "BASELINE", tmp_path / "words.toml")
    (tmp_path / "ratelimit" / "old").mkdir(parents=True)
    (tmp_path / "ratelimit" / "old" / "code.py").write_text("# who\n", "utf-8")
    assert words.lower() == 0
    (tmp_path / "ratelimit" / "old").rename(tmp_path / "ratelimit" / "new")
    assert words.lower() == 0
    assert words.allowed() == {"ratelimit/new": {"pronouns": 1, "long": 0}}
