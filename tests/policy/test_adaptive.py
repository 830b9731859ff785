"""`[adaptive]`: what it compiles to, and what is told of each mistake."""

from __future__ import annotations

import pytest

from ratelimit.errors import PolicyError
from ratelimit.policy import Policy

WHOLE = """
version = 1
[adaptive]
first_byte = "1s"
start = 20
floor = 4
ceiling = 400

[[adaptive.class]]
name = "interactive"
match = "POST /v1/chat"
[[adaptive.class]]
name = "batch"
match = "POST /v1/batch"
"""


def with_lines(*lines: str) -> str:
    """Return a policy with these lines in the table; the first of them is its third."""
    return "\n".join(["version = 1", "[adaptive]", *lines])


CASES = [
    ("adaptive-bounds", with_lines("start = 500"), 3, "adaptive.start"),
    ("adaptive-bounds", with_lines("floor = 30"), 3, "adaptive.floor"),
    ("adaptive-target", with_lines("first_byte = 'soon'"), 3, "adaptive.first_byte"),
    ("adaptive-target", with_lines("first_byte = '1ms'"), 3, "adaptive.first_byte"),
    ("adaptive-target", with_lines("first_byte = -1"), 3, "adaptive.first_byte"),
    (
        "adaptive-class",
        with_lines("[[adaptive.class]]", "name = 'a'", "match = []"),
        5,
        "adaptive.class[0].match",
    ),
    (
        "adaptive-class",
        with_lines(*["[[adaptive.class]]", "name = 'a'", "match = '/'"] * 2),
        7,
        "adaptive.class[1].name",
    ),
    ("adaptive-reports", with_lines("reports = 'file:///etc/passwd'"), 3, "adaptive.reports"),
    ("adaptive-reports", with_lines("reports = ['http://a/metrics', 'localhost']"), 3, "adaptive.reports"),
    ("adaptive-reports", with_lines("reports = ['http://']"), 3, "adaptive.reports"),
    ("adaptive-floor", with_lines("floor = 16", "ceiling = 60"), 3, "adaptive.floor"),
    ("adaptive-target-unused", with_lines("first_byte = 1", "algorithm = 'vegas'"), 3, "adaptive.first_byte"),
    ("limit-match", with_lines("except = 'health'"), 3, "adaptive.except"),
    (
        "limit-match",
        with_lines("[[adaptive.class]]", "name = 'a'", "match = 'v1'"),
        5,
        "adaptive.class[0].match",
    ),
]


def test_table_compiles_as_it_is_written():
    spec = Policy.from_toml(WHOLE).compiled.adaptive
    assert spec is not None
    assert (spec.first_byte_ns, spec.floor, spec.start, spec.ceiling) == (10**9, 4, 20, 400)
    assert (spec.algorithm, spec.shadow) == ("first-byte", False)
    assert [one.name for one in spec.classes] == ["interactive", "batch"]
    assert [pattern.template for one in spec.classes for pattern in one.patterns] == [
        "/v1/chat",
        "/v1/batch",
    ]


def test_without_the_table_there_is_no_limit_and_without_a_target_it_is_learned():
    assert Policy.from_toml("version = 1").compiled.adaptive is None
    spec = Policy.from_toml(with_lines("mode = 'shadow'")).compiled.adaptive
    assert spec is not None
    assert spec.first_byte_ns is None
    assert spec.shadow


@pytest.mark.parametrize(("code", "text", "line", "key"), CASES)
def test_each_mistake_is_told_with_its_place(code: str, text: str, line: int, key: str):
    """A floor that may be above what the back end can do is said among them, as it is never cut."""
    try:
        problems = Policy.from_toml(text).warnings
    except PolicyError as error:
        problems = error.problems
    assert [(one.code, one.line, one.key) for one in problems if one.code != "policy-empty"] == [
        (code, line, key)
    ]
