"""`wait`, `fair_by` and `[[class]]`: what is told of each mistake."""

from __future__ import annotations

import pytest

from ratelimit.errors import PolicyError
from ratelimit.policy import Policy


def with_lines(*lines: str) -> str:
    """Return a policy of one limit with these lines, the first of which is the sixth."""
    return "\n".join(
        ["version = 1", "[[limit]]", "name = 'l'", "per = 'ip'", "rate = '10/minute'", *lines, ""]
    )


CLASS = ("[[class]]", "name = 'a'", "match = '/a'")

# code, policy, line, key
CASES = [
    ("limit-wait", with_lines("wait = 'soon'"), 6, "limit[0].wait"),
    ("limit-wait", with_lines("wait = '11 minutes'"), 6, "limit[0].wait"),
    ("limit-wait", with_lines("wait = '0s'"), 6, "limit[0].wait"),
    (
        "adaptive-class",
        with_lines("wait = '1s'", "[[class]]", "name = 'a'", "match = []"),
        9,
        "class[0].match",
    ),
    ("adaptive-class", with_lines("wait = '1s'", *CLASS, *CLASS), 11, "class[1].name"),
    ("queue-unused", with_lines(*CLASS), 6, "class"),
]


@pytest.mark.parametrize(("code", "text", "line", "key"), CASES)
def test_each_mistake_is_told_with_its_place(code: str, text: str, line: int, key: str) -> None:
    try:
        problems = Policy.from_toml(text).warnings
    except PolicyError as error:
        problems = error.problems
    assert [(one.code, one.line, one.key) for one in problems] == [(code, line, key)]
