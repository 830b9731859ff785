"""A cookie is what the application reads it as: compared with Starlette itself."""

from __future__ import annotations

import pytest
from starlette.requests import Request

from ratelimit.identity.cookies import find_cookie

LINES = [
    [b"sid=a"],
    [b"theme=dark; sid=a; x=1"],
    [b"sid=decoy; sid=real"],
    [b"sid=decoy", b"sid=real"],
    [b"  sid = a  "],
    [b'sid="a b"'],
    [b'sid="\\141\\"b"'],
    [b"sid="],
    [b"xsid=a; sidx=b"],
    [b"sid"],
    [b"=sid"],
    [b"sid=a=b=c"],
    [b""],
    [b"sid=decoy;\xa0\x1fsid\x85= real\xa0"],
    [b"sid=decoy; SID=other"],
]


@pytest.mark.parametrize("lines", LINES)
def test_duplicate_or_quoted_cookie_is_the_one_the_application_reads(lines: list[bytes]) -> None:
    request = Request({"type": "http", "headers": [(b"cookie", line) for line in lines]})
    read = request.cookies.get("sid")
    assert find_cookie(lines, b"sid") == (None if read is None else read.encode())


@pytest.mark.parametrize("spelling", [b"sid=%61bc", b'sid="abc"', b'sid="\\141bc"', b"sid=ab%63"])
def test_spelling_of_a_cookie_makes_no_other_value(spelling: bytes) -> None:
    assert find_cookie([spelling], b"sid") == b"abc"


def test_cookie_behind_thousands_of_others_is_still_found() -> None:
    many = b"; ".join(b"a%d=1" % number for number in range(5000))
    assert find_cookie([b"sid=early; " + many + b"; sid=late"], b"sid") == b"late"
    assert find_cookie([b"sid=early; " + many], b"sid") == b"early"
