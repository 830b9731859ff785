"""The one reader of JSON: what any text costs, and that it ends in a value or one kind of error."""

from __future__ import annotations

import json
import sys
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratelimit.parsing.depth import is_deeper
from ratelimit.parsing.json import MOST_DEPTH, JsonError, JsonReader, read_json


def nested(depth: int, open: str = "[", close: str = "]", inner: str = "") -> str:
    return open * depth + inner + close * depth


SHAPES = {
    "arrays": ("[", "]", ""),
    "objects": ('{"a":', "}", "1"),
    "both": ('[{"a":', "}]", "null"),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_nested_input_is_a_parse_error_beyond_one_depth_and_a_value_up_to_it(shape: str) -> None:
    levels = SHAPES[shape][0].count("[") + SHAPES[shape][0].count("{")
    fits = nested(MOST_DEPTH // levels, *SHAPES[shape])
    assert read_json(fits) == json.loads(fits)
    for depth in (MOST_DEPTH // levels + 1, 1_100, 500_000):
        with pytest.raises(JsonError, match=f"nested more than {MOST_DEPTH} deep"):
            read_json(nested(depth, *SHAPES[shape]))
        with pytest.raises(JsonError):
            read_json(SHAPES[shape][0] * depth)


def test_brackets_in_strings_are_no_depth() -> None:
    text = json.dumps({"path": "[{" * 5_000, "escaped": '"[' * 500, "end": "\\"})
    assert read_json(text) == json.loads(text)


def test_member_that_no_field_reads_is_no_way_to_go_deeper() -> None:
    class Line(msgspec.Struct):
        path: str

    reader = JsonReader(Line)
    assert reader.read(b'{"path": "/", "more": [[{"a": 1}]]}').path == "/"
    with pytest.raises(JsonError):
        reader.read(b'{"path": "/", "more": ' + nested(1_100).encode() + b"}")
    with pytest.raises(JsonError):
        reader.read_lines(b'{"path": "/"}\n{"path": "/", "more": ' + nested(1_100).encode() + b"}\n")


def test_little_stack_is_an_error_of_the_text() -> None:
    text = nested(MOST_DEPTH)

    def deep(left: int) -> Any:
        return read_json(text) if left == 0 else deep(left - 1)

    limit = sys.getrecursionlimit()
    used = 0
    frame = sys._getframe()
    while frame.f_back is not None:
        frame, used = frame.f_back, used + 1
    outcomes = set()
    for left in range(limit - used - 100, limit - used - 4, 4):
        try:
            outcomes.add(type(deep(left)))
        except JsonError:
            outcomes.add(JsonError)
        except RecursionError:
            break  # of this test's own calls
    assert outcomes <= {list, JsonError}
    assert list in outcomes


HOSTILE = [
    b"",
    b"{",
    b'{"a":NaN}',
    b'{"a":Infinity}',
    b'{"a":1e999}',
    b'{"a":' + b"9" * 5_000 + b"}",
    b'{"a":-' + b"9" * 1_000_000 + b"}",
    b'"' + b"a" * 1_000_000,
    b'"\\u12"',
    b"[" + b"1," * 500_000,
    b"\x00",
]


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: repr(text[:12]))
def test_text_that_is_no_json_is_one_kind_of_error(text: bytes) -> None:
    with pytest.raises(JsonError):
        read_json(text)


@pytest.mark.parametrize("text", [b'"\xff"', b'{"a": "\xc3"}'])
def test_bytes_that_are_no_text_are_an_error_of_values(text: bytes) -> None:
    with pytest.raises(UnicodeDecodeError):
        read_json(text)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=12,
)


def depth_of(value: Any) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + max(map(depth_of, inner), default=0) if isinstance(value, dict | list) else 0


@given(VALUES, st.integers(0, 8))
def test_depth_is_what_the_value_has(value: Any, most: int) -> None:
    for text in (json.dumps(value), json.dumps(value, ensure_ascii=False)):
        assert is_deeper(text.encode("utf-8", "surrogatepass"), most) == (depth_of(value) > most)


@given(st.text(alphabet='[]{}",:\\ \n1a', max_size=200))
def test_any_text_is_a_value_or_an_error(text: str) -> None:
    try:
        value = read_json(text)
    except ValueError:
        with pytest.raises(json.JSONDecodeError):
            json.loads(text)
    else:
        assert value == json.loads(text)
