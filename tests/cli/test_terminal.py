"""Text for people: cut between words on a terminal, left whole for a pipe."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console
from rich.text import Text

from ratelimit import Policy
from ratelimit.cli.check import print_limits
from ratelimit.cli.terminal import say

EXAMPLES = sorted((Path(__file__).parents[2] / "examples" / "policies").glob("*.toml"))
SENTENCE = "policy.toml:6: error: `Bad-Name` is not a name for an identity [identity-name]"


def written(text: str, *, width: int, terminal: bool = True, indent: int = 4) -> list[str]:
    console = Console(file=io.StringIO(), width=width, force_terminal=terminal, color_system=None)
    say(console, Text(text), indent=indent)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


@pytest.mark.parametrize("width", [30, 40, 79, 80, 200])
def test_paragraph_is_cut_between_words(width: int) -> None:
    lines = written(SENTENCE, width=width)
    assert all(len(line) <= width for line in lines)
    assert " ".join(line.strip() for line in lines) == SENTENCE
    assert all(line.startswith("    ") for line in lines[1:])


def test_pipe_gets_the_paragraph_in_one_line() -> None:
    assert written(SENTENCE, width=30, terminal=False) == [SENTENCE]


def test_path_longer_than_a_line_can_still_be_copied() -> None:
    path = "/srv/" + "folder/" * 12 + "policy.toml"
    assert path in written(f"error: {path} cannot be read", width=40)[1]


@pytest.mark.parametrize("text", ["", " ", "    indented all the same", "a  b\tc", "über-lang " * 9])
def test_no_letter_is_lost(text: str) -> None:
    assert "".join("".join(written(text, width=20)).split()) == "".join(text.split())


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
@pytest.mark.parametrize("width", [80, 100, 200])
def test_limits_are_shown_without_a_word_cut_in_two(path: Path, width: int) -> None:
    console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None)
    compiled = Policy.load(path).compiled
    print_limits(console, compiled)
    assert isinstance(console.file, io.StringIO)
    shown = console.file.getvalue()
    assert max(map(len, shown.splitlines())) <= width
    words = set(shown.replace(";", " ").replace(",", " ").split())
    assert {rule.algorithm for rule in compiled.rules} <= words
    assert {compiled.identities[at].name for rule in compiled.rules for at in rule.per} <= words
