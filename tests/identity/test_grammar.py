"""The forms of values: held to a specification, byte by byte, and to what a form is good for."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratelimit.core.request import grammar
from ratelimit.core.request.grammar import MALFORMED_VALUE
from tests.support.reference import forms

ODD = st.sampled_from(
    [b"\xa0", b"\x85", b"\x1c", b"\x0b", b"\t", b" ", b"=", b",", b"%41", b"%", b'"', b"\\", b"\xff"]
)
LETTERS = st.sampled_from(
    [b"a", b"Z", b"0", b"-", b"_", b".", b"~", b"+", b"/", b"==", b"KEY", b"eyJh", b".eJ"]
)
VALUE = st.lists(st.one_of(LETTERS, LETTERS, ODD, st.binary(max_size=3)), max_size=8).map(b"".join)
SCHEMES = st.sampled_from(
    [b"", b"Bearer ", b"bearer  ", b"Basic ", b"BASIC\t", b"Digest ", b"Bearer \t", b" Bearer "]
)
USER_PASS = st.one_of(st.text(max_size=6).map(str.encode), st.binary(max_size=8), st.just(b"user:pass"))
SIGNATURES = st.one_of(
    st.binary(max_size=200).map(base64.urlsafe_b64encode).map(lambda one: one.rstrip(b"=")),
    st.sampled_from([64, 96, 114, 132, 256])
    .flatmap(lambda size: st.binary(min_size=size, max_size=size))
    .map(lambda one: base64.urlsafe_b64encode(one).rstrip(b"=")),
    st.text("ABQgw_-+/=.~%", max_size=6).map(str.encode),
)
PASETOS = st.builds(
    lambda version, purpose, parts: b".".join([version, purpose, *parts]),
    st.sampled_from([b"v1", b"v2", b"v3", b"v4", b"v5"]),
    st.sampled_from([b"public", b"local", b"secret"]),
    st.lists(SIGNATURES, max_size=3),
)
JWTS = st.builds(
    lambda first, parts: b".".join([first, *parts]),
    st.sampled_from([b"eyJhbGci", b"eyJ=", b".eJx", b"eyI", b"eyAi", b"ewoi", b"ew0K", b"%65yJh"]),
    st.lists(SIGNATURES, max_size=4),
)
SIGNED = st.one_of(PASETOS, JWTS)


@st.composite
def basic(draw: st.DrawFn) -> bytes:
    """Return base64 as it is, or with one byte changed, put in or taken out."""
    encoded = bytearray(base64.b64encode(draw(USER_PASS)))
    if encoded and draw(st.booleans()):
        at = draw(st.integers(0, len(encoded) - 1))
        encoded[at : at + draw(st.integers(0, 1))] = draw(st.one_of(ODD, LETTERS))
    return b"Basic " + bytes(encoded)


LINE = st.one_of(
    VALUE, st.builds(bytes.__add__, SCHEMES, VALUE), basic(), st.builds(bytes.__add__, SCHEMES, SIGNED)
)


@given(LINE)
def test_headers_are_read_as_the_specification_says(line: bytes) -> None:
    assert grammar.text(line) == forms.text(line)
    assert grammar.credential(line) == forms.credential(line)


NAMES = st.sampled_from(
    [b"sid", b"SID", b"s%69d", b"%73id", b"\xa0sid", b" sid ", b"sid\x1c", b"sidx", b"", b"%sid"]
)
PAIRS = st.lists(
    st.one_of(st.builds(lambda name, value: name + b"=" + value, NAMES, st.one_of(VALUE, SIGNED)), VALUE),
    max_size=3,
)


@given(st.lists(PAIRS.map(b"; ".join), max_size=3))
def test_cookies_are_read_as_the_specification_says(lines: list[bytes]) -> None:
    assert grammar.cookie(lines, b"sid") == forms.cookie(lines, b"sid")


@given(VALUE)
def test_segments_are_read_as_the_specification_says(value: bytes) -> None:
    assert grammar.segment(value) == forms.segment(value)


NUMBERS = st.text("0123456789-+. _e\n٣", max_size=8).map(str.encode)
UUIDS = (
    st.uuids()
    .flatmap(
        lambda one: st.sampled_from(
            [
                str(one),
                one.hex,
                str(one).upper(),
                one.urn,
                f"{{{one}}}",
                str(one)[:-1],
                one.hex[:9] + "-" + one.hex[9:],
            ]
        )
    )
    .map(str.encode)
)


@given(st.sampled_from(grammar.FORMS), st.one_of(NUMBERS, UUIDS, VALUE, st.text(max_size=8).map(str.encode)))
def test_forms_are_those_of_the_specification(form: str, value: bytes) -> None:
    if value:
        assert grammar.formed(value, form) == forms.formed(value, form)


@given(st.sampled_from(grammar.FORMS), st.one_of(NUMBERS, UUIDS, st.text(max_size=8).map(str.encode)))
def test_form_of_a_form_is_itself(form: str, value: bytes) -> None:
    once = grammar.formed(value, form)
    if once:
        assert grammar.formed(once, form) == once


LONG = {
    "text": b"a" * 4096,
    "token": b"Bearer " + b"a" * 4089,
    "basic": b"Basic " + base64.b64encode(b"a:" + b"b" * 3000),
    "signed": b"eyJ." + b"A" * 4092,
    "blanks": b" " * 4095 + b"a",
}


@pytest.mark.parametrize("line", LONG.values(), ids=LONG)
def test_value_too_long_is_malformed_and_never_cut(line: bytes) -> None:
    for read, specified in ((grammar.text, forms.text), (grammar.credential, forms.credential)):
        assert read(line) == specified(line)
        assert read(line + b"a" * (4097 - len(line))) == MALFORMED_VALUE
    assert grammar.cookie([b"sid=" + b"a" * 4096], b"sid") == b"a" * 4096
    assert grammar.cookie([b"sid=" + b"a" * 4097], b"sid") == MALFORMED_VALUE


@pytest.mark.parametrize("user", ["josé", "jose\u0301", "ｊose", "jo\u00adse\u2460", "\u212b"])
def test_user_that_frameworks_normalise_is_malformed_unless_written_in_one_way(user: str) -> None:
    line = b"Basic " + base64.b64encode(f"{user}:pw".encode())
    assert bool(grammar.credential(line)) == (user == "josé")
    latin = b"Basic " + base64.b64encode("josé:pw".encode("latin-1"))
    assert grammar.credential(latin) == MALFORMED_VALUE


def test_signed_token_with_other_bits_at_its_end_is_malformed() -> None:
    """A decoder drops the two bits that are left over: four spellings of one signature."""
    token = b"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhIn0." + base64.urlsafe_b64encode(bytes(32)).rstrip(b"=")
    assert grammar.credential(b"Bearer " + token) == token
    assert grammar.text(token) == grammar.cookie([b"sid=" + token], b"sid") == token
    for last in (b"B", b"C", b"D"):
        assert grammar.credential(b"Bearer " + token[:-1] + last) == MALFORMED_VALUE
    for junk in (b"=", b"~", b"+", b"/", b"AAAA.", b"~~~~"):
        assert grammar.credential(b"Bearer " + token + junk) in (MALFORMED_VALUE, token + junk)
        if junk != b"AAAA.":
            assert grammar.credential(b"Bearer " + token + junk) == MALFORMED_VALUE
