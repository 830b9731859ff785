"""The grammar of a match pattern."""

from __future__ import annotations

import pytest

from ratelimit.policy.routing.pattern import PatternError, parse_pattern


@pytest.mark.parametrize(
    ("text", "methods", "segments", "rest", "parameters"),
    [
        ("/", None, (), False, ()),
        ("/*", None, (), True, ()),
        ("* /**", None, (), True, ()),
        ("post /v1/*", {"POST"}, ("v1",), True, ()),
        ("GET|PUT /a/b", {"GET", "HEAD", "PUT"}, ("a", "b"), False, ()),
        ("HEAD /a", {"HEAD"}, ("a",), False, ()),
        ("/a/", None, ("a",), False, ()),
        ("/a/*/b", None, ("a", None, "b"), False, ()),
        ("/{x}/c/{y}", None, (None, "c", None), False, (("x", 0), ("y", 2))),
        ("PROPFIND /dav/**", {"PROPFIND"}, ("dav",), True, ()),
        ("/ünïcode/100%", None, ("ünïcode", "100%"), False, ()),
    ],
)
def test_patterns(
    text: str,
    methods: set[str] | None,
    segments: tuple[str | None, ...],
    rest: bool,
    parameters: tuple[object, ...],
) -> None:
    pattern = parse_pattern(text)
    assert pattern.methods == (None if methods is None else frozenset(methods))
    assert (pattern.segments, pattern.rest, pattern.parameters) == (segments, rest, parameters)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "POST",
        "v1",
        "GET v1",
        "GET /a /b",
        "G ET /a",
        "GET| /a",
        "GET,POST /a",
        "/a//b",
        "//",
        "/a/**/b",
        "/a*",
        "/{a}b",
        "/{a",
        "/{}",
        "/{1a}",
        "/{a}/{a}",
        "/{a:int}",
        "/{a:path}",
        "/a/../b",
        "/./a",
        "/a?b",
        "/a#b",
        "/%41",
        "/" + "a/" * 33,
        "/" + "a" * 512,
    ],
)
def test_not_patterns(text: str) -> None:
    with pytest.raises(PatternError):
        parse_pattern(text)


@pytest.mark.parametrize("text", ["GET|PUT /a/{b}/*", "/", "/*", "/a/b"])
def test_a_template_reads_back(text: str) -> None:
    template = parse_pattern(text).template
    assert parse_pattern(template).template == template
