"""What is said of groups: sentences an analyst can check, and never more than was found."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratelimit.correlation.judgement import DECLARED, Judgement, Statistics, Verdict, judge
from ratelimit.correlation.settings import Settings
from ratelimit.correlation.words import describe, lacking, span

SETTINGS = Settings()
CAMPAIGN: Statistics = {
    "accounts": 2466,
    "methods": 41,
    "loners": 0,
    "homed": 0.0,
    "seen": 2000,
    "fresh": 1.0,
    "old": 0.0,
    "settled": 0.0,
    "exits": 1700.0,
    "addresses": 1960,
    "sole": 1960,
    "exclusive": 0.98,
    "busiest": 2400,
    "rate": 60_000.0,
    "former": 0,
    "votes": 0,
}


def group(**changes: Any) -> Statistics:
    return CAMPAIGN | changes  # type: ignore[typeddict-item, return-value]


def said(**changes: Any) -> str:
    found = group(**changes)
    return describe(found, judge(found, SETTINGS))


def test_certain_actor_is_described_as_an_analyst_would() -> None:
    assert said() == (
        "41 payment methods of 2,466 accounts meet at 1,960 addresses nobody else uses; "
        "none is ever at home; all are younger than two weeks. It has 0.71 exits an active account, "
        "more than an organisation has."
    )


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"sole": 1951}, "1,960 addresses, 1,951 of which nobody else uses;"),
        ({"sole": 0}, "1,960 addresses that others use, too;"),
        ({"homed": 0.04}, "4 % are at home somewhere;"),
        ({"homed": 0.004}, "fewer than one in a hundred are at home somewhere;"),
        ({"fresh": 0.997}, "nearly all are younger than two weeks."),
        ({"fresh": 0.9, "old": 0.4}, "90 % were younger than two weeks when found."),
        ({"methods": 1}, "2,466 accounts on one payment method take turns at"),
        ({"methods": 0, "loners": 2466}, "2,466 accounts that share no payment method take turns at"),
    ],
)
def test_each_part_says_what_was_found(changes: dict[str, Any], part: str) -> None:
    assert part in said(**changes)


def test_declared_actor_needs_no_evidence() -> None:
    assert describe(group(accounts=2), DECLARED) == "2 accounts that the operator says are one actor."


def test_nothing_is_said_of_homes_of_which_nothing_could_be_seen() -> None:
    words = said(seen=0)
    assert "ever at home" not in words
    assert "none was there long enough to be seen at home" in words


def test_likely_says_what_it_lacks_to_be_certain() -> None:
    words = said(exits=4.0, addresses=4, sole=4, accounts=60, methods=6, busiest=60)
    assert "An organisation that has just come looks like this, too." in words
    assert (
        "Not certain: traffic of about 4 exits where 256 are needed; 0.067 exits an active account" in words
    )


@given(
    methods=st.sampled_from((2, 3)),
    accounts=st.sampled_from((7, 8, 200)),
    loners=st.sampled_from((0, 0, 0, 1)),
    homed=st.sampled_from((0.05, 0.0, 0.051)),
    seen=st.sampled_from((64, 100, 3)),
    fresh=st.sampled_from((0.5, 1.0, 0.49)),
    settled=st.sampled_from((0.49, 0.5)),
    exits=st.sampled_from((256.0, 600.0, 255.0)),
    exclusive=st.sampled_from((0.6, 1.0, 0.59)),
    busiest=st.sampled_from((200, 900)),
)
def test_certain_is_exactly_what_lacks_nothing(**drawn: Any) -> None:
    found = group(**drawn)
    assert (judge(found, SETTINGS).verdict is Verdict.CERTAIN) == (not lacking(found, SETTINGS))
    assert describe(found, Judgement(Verdict.LIKELY, "covert"), SETTINGS)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (1_209_600, "two weeks"),
        (108_000, "30 hours"),
        (604_800, "one week"),
        (86_400, "one day"),
        (90, "90 seconds"),
    ],
)
def test_lengths_of_time_are_said_as_people_say_them(seconds: int, words: str) -> None:
    assert span(seconds) == words
