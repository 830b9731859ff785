"""The one reader of TOML: what the parser would fail or be slow at, with its line."""

from __future__ import annotations

import sys

import pytest

from ratelimit.errors import PolicyError
from ratelimit.parsing.toml import TooDeep, deepest_line, read_toml
from ratelimit.policy import Policy

DEEP = {
    "arrays": "version = 1\na = " + "[" * 5_000 + "]" * 5_000,
    "unclosed": "version = 1\na = " + "[" * 5_000,
    "tables": "version = 1\na = " + "{a = " * 5_000 + "1" + "}" * 5_000,
    "both": "version = 1\na = " + "[{a = " * 5_000 + "1" + "}]" * 5_000,
    "dotted key": "version = 1\n" + "a." * 100_000 + "a = 1",
    "quoted key": "version = 1\n" + '"a" . ' * 100_000 + "a = 1",
    "header": "version = 1\n[" + "a." * 100_000 + "a]",
    "key of a table": "version = 1\nx = { " + "a." * 100_000 + "a = 1 }",
}


@pytest.mark.parametrize("text", DEEP.values(), ids=DEEP)
def test_nested_input_is_a_parse_error_with_its_line(text: str) -> None:
    with pytest.raises(TooDeep):
        read_toml(text)
    assert deepest_line(text) == 2
    with pytest.raises(PolicyError) as raised:
        Policy.from_toml(text, "policy.toml")
    (problem,) = raised.value.problems
    assert (problem.code, problem.line) == ("policy-depth", 2)


def test_brackets_in_texts_and_comments_are_no_depth() -> None:
    many = "[" * 5_000
    text = f'a = "{many}"\nb = """\n{many}"""\nc = "{many}" # {many}\nd = [[[1]]]'
    assert read_toml(text)[0]["d"] == [[[1]]]
    assert deepest_line(text) == 5


def test_key_of_some_parts_is_read() -> None:
    assert read_toml("a.b.c = [[1]]")[0] == {"a": {"b": {"c": [[1]]}}}


def test_depth_is_bounded_whatever_depth_the_process_allows() -> None:
    """Hazard: an application that raised Python's limit is told of a wrong value, or runs out of stack."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(20_000)
    try:
        with pytest.raises(TooDeep):
            read_toml("a = " + "[" * 5_000)
    finally:
        sys.setrecursionlimit(before)
