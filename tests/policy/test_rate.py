"""The rate grammar, against the package it comes from."""

from __future__ import annotations

import re

import limits
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ratelimit.policy.schema.rate import LONGEST_TEXT, UNIT_SECONDS, Rate, RateSyntaxError, parse_rates

SPACE = st.text(alphabet=" \t\n\u00a0", max_size=2)
WORDS = st.sampled_from([unit + plural for unit in UNIT_SECONDS if unit != "week" for plural in ("", "s")])
CASED = st.builds(lambda word, upper: word.upper() if upper else word.title(), WORDS, st.booleans()) | WORDS


@st.composite
def rate_texts(draw: st.DrawFn) -> str:
    text = draw(SPACE) + str(draw(st.integers(0, 10**9))) + draw(SPACE)
    text += draw(st.sampled_from(["/", "per", "PER", " per "])) + draw(SPACE)
    if draw(st.booleans()):
        text += str(draw(st.integers(1, 1000)))
    return text + draw(SPACE) + draw(CASED) + draw(SPACE)


@st.composite
def joined_rates(draw: st.DrawFn) -> str:
    text = draw(rate_texts())
    for _ in range(draw(st.integers(0, 3))):
        text += draw(st.sampled_from(["", "", ":"])) + draw(st.sampled_from(",;|")) + draw(rate_texts())
    return text


NOISE = st.text(alphabet="0123456789/perscondmiutehayPS,;|: \n\u017f", max_size=24)


def theirs(text: str) -> list[tuple[int, int]] | None:
    try:
        return [(item.amount, item.get_expiry()) for item in limits.parse_many(text)]
    except ValueError:
        return None


def ours(text: str, *, as_limits_does: bool = True) -> list[tuple[int, int]] | None:
    try:
        rates = parse_rates(text, as_limits_does=as_limits_does)
        return [(rate.amount, rate.period_s) for rate in rates]
    except RateSyntaxError:
        return None


@given(joined_rates())
@example("1/second; 100/hour")
@example("10 per 5 minutes")
@example("10PER5MINUTES")
@example("1/month|1/year")
@example("1/second:;2/minute")
@example("5 / 2 days\n")
def test_every_rate_of_limits_reads_the_same(text: str) -> None:
    assert theirs(text) is not None
    assert ours(text) == ours(text, as_limits_does=False) == theirs(text)


# One rate and some noise: their pattern takes time exponential in the number of rates.
@given(st.builds(lambda a, b: a + b, rate_texts() | st.just(""), NOISE))
@example("1/second;")
@example(";1/second")
@example("1/second;;1/minute")
@example("1//second")
@example("/second")
@example("1 per per second")
@example("1/second s")
@example("1/\u017fecond")
@example("\u0661/second")
@example("1/secondss")
@example("1/second: ;1/minute")
def test_whatever_the_text_both_agree(text: str) -> None:
    # The one known difference, tested below; the alphabet cannot spell the other, weeks.
    if re.search(r"(/|per)\s*0+\s*[a-z]", text, re.IGNORECASE):
        assert ours(text) is None
    else:
        assert ours(text) == theirs(text)


def test_a_period_of_no_length_is_refused_and_not_read_as_one() -> None:
    assert theirs("5 per 0 minutes") == [(5, 60)]
    with pytest.raises(RateSyntaxError, match="no length"):
        parse_rates("5 per 0 minutes")


def test_weeks_are_ours() -> None:
    assert theirs("5/week") is None
    assert parse_rates("5/week") == (Rate(5, 1, "week"),)
    assert parse_rates("5 per 2 weeks")[0].period_s == 14 * 86_400


def test_months_have_30_days_and_years_360() -> None:
    assert parse_rates("1/month")[0].period_s == 30 * 86_400
    assert parse_rates("1/year")[0].period_s == 360 * 86_400


@pytest.mark.parametrize("text", ["9" * LONGEST_TEXT + "/second", " " * LONGEST_TEXT + "1/second"])
def test_huge_rate_text_is_refused_before_it_is_read(text: str) -> None:
    with pytest.raises(RateSyntaxError, match="characters long"):
        parse_rates(text)


@given(rate_texts())
def test_a_rate_reads_back_from_its_own_text(text: str) -> None:
    (rate,) = parse_rates(text)
    assert parse_rates(str(rate)) == (rate,)


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        ("100/min", "100/minute"),
        ("5/m", "5/minute"),
        ("5/mins", "5/minute"),
        ("10/s", "10/second"),
        ("10/SEC", "10/second"),
        ("5/h", "5/hour"),
        ("5/hrs", "5/hour"),
        ("2/d", "2/day"),
        ("2/w", "2/week"),
        ("2/mo", "2/month"),
        ("2/yr", "2/year"),
        ("1_000/minute", "1000/minute"),
        ("1_000_000 per day", "1000000/day"),
        ("100/15m", "100 per 15 minutes"),
        ("5 per 10s", "5 per 10 seconds"),
        ("1/s; 5/m", "1/second; 5/minute"),
    ],
)
def test_rate_that_people_type_first_is_a_rate(text: str, whole: str) -> None:
    assert parse_rates(text) == parse_rates(whole)


def test_part_of_a_dollar_is_kept_to_the_millionth() -> None:
    assert parse_rates("0.50/day") == (Rate(0, 1, "day", 500_000),)
    assert parse_rates("12.000001/mo") == (Rate(12, 1, "month", 1),)
    assert parse_rates("3.0000000/day") == (Rate(3, 1, "day"),)
    assert [str(rate) for rate in parse_rates("0.50/day; 2.125 per 2 hours")] == [
        "0.5/day",
        "2.125 per 2 hours",
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("5/M", "`M` is not a period; write `minute` or `month`"),
        ("1,000/minute", "has a comma, which parts two rates; write `1000` or `1_000`"),
        ("100k/day", "`100k/day` is not a rate; write `100_000/day`"),
        ("2M per day", "`2M per day` is not a rate; write `2_000_000 per day`"),
        ("1__000/day", "`1__000/day` is not a rate"),
        ("_1/day", "is not a rate"),
        ("1_/day", "is not a rate"),
        ("1./day", "is not a rate"),
        (".5/day", "is not a rate"),
        ("0.0000001/day", "finer than a millionth"),
        ("5/ss", "`ss` is not a period"),
        ("5/per", "`per` is not a period"),
    ],
)
def test_text_that_may_mean_two_rates_is_none(text: str, words: str) -> None:
    with pytest.raises(RateSyntaxError, match=re.escape(words)):
        parse_rates(text)


@given(joined_rates() | NOISE)
def test_short_words_change_no_rate_of_limits(text: str) -> None:
    known = ours(text)
    assert known is None or known == ours(text, as_limits_does=False)
