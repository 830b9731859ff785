"""Spellings of spellings: what comes of one habit after another is counted before an unknown back end."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import count

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ratelimit.policy.routing.request_line import read_line
from ratelimit.policy.routing.target import Target, readings
from tests.doors.doors import BEFORE, QUOTA, Serve, policy

Change = Callable[[str, int], str]
"""From a target and a place in it to another target, which some back end reads as the first."""


def written(text: str, at: int, what: Callable[[str], str], of: str = "") -> str:
    """Write one of a text's characters otherwise, among those that are `of`."""
    places = [place for place, letter in enumerate(text) if not of or letter in of]
    if not places:
        return text
    place = places[at % len(places)]
    return text[:place] + what(text[place]) + text[place + 1 :]


def at_segment(text: str, at: int, what: str) -> str:
    """Put something at the end of one of the segments."""
    places = [place for place, letter in enumerate(text) if letter == "/" and place] + [len(text)]
    place = places[at % len(places)]
    # Behind dots, or a slash in another spelling, a dot would make another segment of them.
    if what[0] == "." and not re.search(r"[tT1xlnb\uff41-\uff5a]$", text[:place]):
        return text
    return text[:place] + what + text[place:]


LETTERS = "vchat"
CHANGES: dict[str, Change] = {
    "an escape": lambda text, at: written(
        text, at, lambda letter: f"%{ord(letter) & 255:02X}", "/vchat%.;\\1236"
    ),
    "a backslash": lambda text, at: written(text, at, lambda _: "\\", "/"),
    "parameters": lambda text, at: at_segment(text, at, ";a=1"),
    "a dot": lambda text, at: at_segment(text, at, "/."),
    "a detour": lambda text, at: at_segment(text, at, "/x/.."),
    "two slashes": lambda text, at: written(text, at, lambda _: "//", "/"),
    "a blank": lambda text, at: at_segment(text, at, "%20"),
    "a dot at an end": lambda text, at: at_segment(text, at, "."),
    "a zero": lambda text, _: text + "%00a",
    "a line feed": lambda text, _: text + "%0a",
    "a format": lambda text, at: at_segment(text, -1, (".json", ".xml", ".a.b")[at % 3]),
    "a slash": lambda text, _: text + "/",
    "an escaped query": lambda text, _: text + "%3Fa",
    "capitals": lambda text, at: written(text, at, str.upper, LETTERS),
    "full width": lambda text, at: written(text, at, lambda letter: chr(ord(letter) + 0xFEE0), LETTERS),
    "an escape of IIS": lambda text, at: written(
        text, at, lambda letter: f"%u{ord(letter):04x}", LETTERS + "/"
    ),
    "overlong": lambda text, at: written(
        text, at, lambda letter: f"%{0xC0 | ord(letter) >> 6:X}%{0x80 | ord(letter) & 63:X}", LETTERS + "/"
    ),
}
STEPS = st.lists(st.tuples(st.sampled_from(sorted(CHANGES)), st.integers(0, 30)), min_size=1, max_size=4)
ENDS = st.sampled_from(["", "?a", "#a", "?a#b"])
FRONTS = st.sampled_from(["", "", "http://x", "//x"])
Steps = list[tuple[str, int]]


def changed(target: str, steps: Steps, front: str = "", end: str = "") -> str:
    for name, at in steps:
        target = CHANGES[name](target, at)
    return front + target + end


@pytest.fixture(scope="module")
def serves() -> dict[str, Serve]:
    return {name: door(policy()) for name, door in BEFORE.items() if name != "traefik"}


CALLERS = count(1)


def served(serve: Serve, target: str) -> int:
    """Return how many of four requests of a new caller are served."""
    at = next(CALLERS)
    caller = f"10.{at >> 16 & 255}.{at >> 8 & 255}.{at & 255}"
    return sum(serve(("POST", target, caller)) for _ in range(QUOTA + 1))


@given(STEPS, FRONTS, ENDS)
@example([("parameters", 0), ("a backslash", 0)], "//x", "")
@example([("an escape", 5), ("an escape", 5), ("an escape", 5)], "", "")
@example([("a format", 0), ("parameters", 2), ("a detour", 2)], "", "#a")
@example([("a backslash", 0)], "http://x", "")
@example([("a zero", 0), ("a format", 0)], "", "")
def test_spelling_of_spellings_is_counted(
    serves: dict[str, Serve], steps: Steps, front: str, end: str
) -> None:
    target = changed("/v1/chat", steps, front, end)
    assert {name: served(serve, target) for name, serve in serves.items()} == dict.fromkeys(serves, QUOTA)


@given(STEPS, FRONTS, ENDS)
def test_spelling_of_another_path_is_not(
    serves: dict[str, Serve], steps: Steps, front: str, end: str
) -> None:
    target = changed("/v1/chats", steps, front, end)
    asked = read_line("POST", target)[1]
    if isinstance(asked, Target) and readings(asked) is None:
        return  # it may be anything
    assert {name: served(serve, target) for name, serve in serves.items()} == dict.fromkeys(serves, QUOTA + 1)


def test_few_spellings_at_once_are_listed_and_not_taken_for_anything() -> None:
    listed = [
        isinstance(asked := read_line("POST", changed("/v1/chats", [(first, 1), (second, 0)]))[1], str)
        or readings(asked) is not None
        for first in CHANGES
        for second in CHANGES
    ]
    assert sum(listed) > 0.95 * len(listed)
