"""A cookie has one form: what frameworks read as the same is the same here, or malformed."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from starlette.requests import Request

from ratelimit.core.request.grammar import MALFORMED_VALUE, cookie

LINES = [
    [b"sid=a"],
    [b"theme=dark; sid=a; x=1"],
    [b"  sid = a  "],
    [b"sid="],
    [b"xsid=a; sidx=b"],
    [b"sid"],
    [b"=sid"],
    [b"sid=a=b=c"],
    [b""],
    [b"sid=decoy; SID=other"],
    [b"x=1; sid=a;"],
    [b'sid="a"'],
    [b'sid=""'],
]


@pytest.mark.parametrize("lines", LINES)
def test_cookie_is_the_one_the_application_reads(lines: list[bytes]) -> None:
    request = Request({"type": "http", "headers": [(b"cookie", line) for line in lines]})
    read = request.cookies.get("sid")
    assert cookie(lines, b"sid") == (read.encode() if read else None)


@pytest.mark.parametrize(
    "spelling", [b"sid=%61bc", b'sid="abc"', b'sid="%61bc"', b"sid=ab%63", b"sid=\tabc "]
)
def test_spelling_of_a_cookie_makes_no_other_value(spelling: bytes) -> None:
    assert cookie([spelling], b"sid") == b"abc"


@pytest.mark.parametrize(
    "lines",
    [
        [b"sid=a; sid=b"],
        [b"sid=a", b"sid=b"],
        [b"sid=a", b"sid=a"],
        [b"sid=a; x=1;sid=b"],
        [b"sid=; sid=b"],
    ],
)
def test_two_cookies_of_one_name_are_nobody_s(lines: list[bytes]) -> None:
    """Starlette reads the last, or that of the first line; Quart the first; Litestar one line."""
    assert cookie(lines, b"sid") == MALFORMED_VALUE


@pytest.mark.parametrize(
    "name", [b"\xa0sid", b"sid\x85", b"\x1csid", b"s%69d", b"%73%69%64", b"sid%20", b"\x0bsid"]
)
def test_name_of_a_cookie_that_some_frameworks_clean_up(name: bytes) -> None:
    assert cookie([name + b"=evil"], b"sid") in (MALFORMED_VALUE, None)
    if name != b"sid%20":
        assert cookie([b"sid=good; " + name + b"=evil"], b"sid") == MALFORMED_VALUE


@pytest.mark.parametrize(
    "value",
    [
        b'"a',
        b'a"',
        b"a b",
        b"a,b",
        b"a\\b",
        b'"\\141"',
        b"a\xa0",
        b"\x85a",
        b"\xe9",
        b"a\x00",
        b"%ff",
        b"%22a%22",
    ],
)
def test_value_of_a_cookie_outside_the_grammar_is_malformed(value: bytes) -> None:
    assert cookie([b"sid=" + value], b"sid") == MALFORMED_VALUE


def test_cookie_behind_thousands_of_others_is_still_found() -> None:
    many = b"; ".join(b"a%d=1" % number for number in range(5000))
    assert cookie([many + b"; sid=late"], b"sid") == b"late"
    assert cookie([b"sid=early; " + many], b"sid") == b"early"
    assert cookie([b"sid=early; " + many + b"; sid=late"], b"sid") == MALFORMED_VALUE


def test_name_with_a_percent_sign_is_itself() -> None:
    assert cookie([b"a%62=1"], b"a%62") == b"1"
    assert cookie([b"a%2562=1"], b"a%62") == MALFORMED_VALUE


def calls_in(lines: list[bytes]) -> int:
    """Return how many functions are called to read a cookie."""
    count = 0

    def seen(frame: Any, event: str, argument: Any) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(seen)
    try:
        cookie(lines, b"sid")
    finally:
        sys.setprofile(None)
    return count


@pytest.mark.parametrize(
    "line",
    [b'sid="' + b"\\141" * 16_384 + b'"', b"sid=" + b"%61" * 21_845, b"sid=1; " * 9_362, b"%73id=1;" * 8_192],
    ids=["octal", "percent", "many", "names"],
)
def test_cookie_of_64_kilobytes_is_capped_before_it_is_decoded(line: bytes) -> None:
    assert len(line) > 65_000
    assert cookie([line], b"sid") == MALFORMED_VALUE
    # The reader itself, and what ends the count: nothing is called for a part of the line.
    assert calls_in([line]) <= calls_in([b"sid=a"]) <= 3
