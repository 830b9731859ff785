"""Sentences about groups: an analyst can check them, and they claim no more than was found."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain, combinations, product
from typing import Any

import pytest

from ratelimit.correlation.classification import DECLARED, Statistics, Verdict, classify
from ratelimit.correlation.description import describe, describe_account, lacking, reason_of, span
from ratelimit.correlation.explanation import Explanation, Shared
from ratelimit.correlation.settings import Settings

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
    "networks": 900.0,
    "addresses": 1960,
    "capped": 1960,
    "sole": 1960,
    "exclusive": 0.98,
    "residential": 0.0,
    "busiest": 2400,
    "rate": 60_000.0,
    "former": 0,
    "votes": 0,
}


def group(**changes: Any) -> Statistics:
    return CAMPAIGN | changes  # type: ignore[typeddict-item, return-value]


def said(**changes: Any) -> str:
    found = group(**changes)
    return describe(found, classify(found, SETTINGS))


def test_certain_actor_is_described_as_an_analyst_would() -> None:
    assert said() == (
        "41 payment methods of 2,466 accounts meet at 1,960 addresses nobody else uses; "
        "none is ever at home; all are younger than two weeks. It has 0.71 exits for each active account, "
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
        "Not certain: traffic of about 4 exits where 256 are needed; "
        "0.067 exits for each active account" in words
    )


def test_exits_that_others_use_or_that_cost_nothing_are_said() -> None:
    assert "others use 660 addresses of these" in said(sole=1300)
    assert "others use" not in said(sole=1300, residential=0.9, methods=2)
    words = said(exits=1700.0, capped=256, networks=1.0)
    assert "traffic of about 222 exits where 384 are needed" in words


BOUNDS: dict[str, tuple[float, ...]] = {
    "methods": (2, 3),
    "accounts": (7, 8, 200),
    "loners": (0, 1),
    "homed": (0.0, 0.05, 0.051),
    "seen": (3, 64, 100),
    "fresh": (0.49, 0.5, 1.0),
    "settled": (0.49, 0.5),
    "exits": (255.0, 256.0, 383.0, 600.0),
    "networks": (63.0, 64.0),
    "exclusive": (0.59, 0.6, 1.0),
    "residential": (0.49, 0.5),
    "sole": (1306, 1307),
    "busiest": (200, 900),
}
"""Both sides of every bound."""


def test_certain_is_exactly_what_lacks_nothing() -> None:
    certain = 0
    for drawn in product(*BOUNDS.values()):
        found = group(**dict(zip(BOUNDS, drawn, strict=True)))
        is_certain = classify(found, SETTINGS).verdict is Verdict.CERTAIN
        assert is_certain == (not lacking(found, SETTINGS)), found
        certain += is_certain
    assert certain > 100


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


CARD = Shared("payment", 2, 7, 61, True, False, 20, 30, 0, False)
OTHERS = replace(CARD, is_clusters=False)
OWN = replace(OTHERS, hash=9, principals=1)
EXIT = Shared("network", 0, 8, 12, True, False, 1, 0, 0, False)
HOME = Shared("network", 0, 0x1234567890ABCDEF, 1, False, True, 31, 50, 0, False)
NOW_NS = 1_800_000_000 * 10**9
MEMBER = Explanation(
    principal=1,
    cluster=2,
    verdict=Verdict.CERTAIN,
    actor=Verdict.CERTAIN,
    why="covert",
    words="",
    young_until_ns=None,
    members=9,
    since_ns=0,
    first_ns=NOW_NS - 2 * 86400 * 10**9,
    last_ns=NOW_NS,
    created_ns=NOW_NS - 3 * 86400 * 10**9,
    age="new",
    is_homed=False,
    requests=9,
    shared=(EXIT, CARD),
    override=None,
)
LIKELY = replace(MEMBER, verdict=Verdict.LIKELY)
ALONE = replace(MEMBER, cluster=None, verdict=Verdict.NONE, actor=Verdict.NONE, why="", members=0)


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (MEMBER, "Certain by itself: it is new, has no home,"),
        (replace(MEMBER, age="old"), "Certain by itself: it was new when it was found, has no home,"),
        (
            replace(LIKELY, actor=Verdict.LIKELY),
            "Likely: the whole actor is likely, and the evidence says what it lacks.",
        ),
        (replace(LIKELY, shared=(EXIT,)), "none of its payment methods is the actor's"),
        (replace(LIKELY, age="old"), "it was there before"),
        (replace(LIKELY, age="unknown"), "it is not known to be new"),
        (LIKELY, "most accounts on its payment method are not known to be new"),
        (replace(ALONE, is_homed=True), "it has a home"),
        (ALONE, "it pays as an actor does, and was mostly elsewhere"),
        (replace(ALONE, shared=(EXIT,)), "exits of an actor's, and was lately seen with no payment method"),
        (replace(ALONE, shared=(EXIT, OWN)), "and pays with a payment method of its own, which no other"),
        (replace(ALONE, shared=(EXIT, OTHERS)), "and pays with a payment method that 61 accounts share"),
        (replace(ALONE, shared=(OTHERS,)), "meet no others at exits of their own"),
        (replace(ALONE, shared=(OWN,)), "it pays with a payment method of its own, which no other account"),
        (replace(ALONE, shared=()), "it was lately seen with no payment method"),
        (replace(MEMBER, override="confirm"), "The operator confirms its actor."),
        (replace(ALONE, override="clear"), "The operator clears its actor."),
        (
            replace(ALONE, override="together"),
            "which accounts it is one actor. In no actor: it pays",
        ),
        (replace(LIKELY, override="apart"), "it is not one actor. Likely: most accounts"),
    ],
)
def test_reason_is_what_decided_of_this_account(found: Explanation, reason: str) -> None:
    assert reason in reason_of(found)


@pytest.mark.parametrize(
    ("found", "part"),
    [
        (MEMBER, "Created three days ago: new."),
        (replace(MEMBER, created_ns=None), "First seen two days ago: new."),
        (
            replace(MEMBER, created_ns=None, age="unknown"),
            "nothing says when it was created, and records are too",
        ),
        (MEMBER, "At home nowhere."),
        (
            replace(ALONE, is_homed=True, shared=(HOME,)),
            "At home at 12345678 (seen there in 31 hours over two days).",
        ),
        (
            MEMBER,
            "Lately seen with 1 address, which is the actor's; with 1 payment method, which is the actor's.",
        ),
        (replace(ALONE, shared=(HOME, EXIT, EXIT)), "3 addresses, 2 of them an actor's."),
        (replace(ALONE, shared=()), "Lately seen with nothing that counts."),
    ],
)
def test_accounts_own_part_is_age_home_and_what_it_was_seen_with(found: Explanation, part: str) -> None:
    assert part in " ".join(describe_account(found, NOW_NS))


def test_a_reason_says_of_payment_methods_what_is_so() -> None:
    """Hazard: an account whose card six others use "pays for itself"."""
    methods = (OWN, replace(OWN, hash=10), OTHERS, replace(OTHERS, hash=11, principals=3), CARD)
    drawn = chain.from_iterable(combinations(methods, size) for size in range(len(methods) + 1))
    for paid, seen in product(drawn, ((), (EXIT,), (replace(EXIT, is_clusters=False),))):
        words = reason_of(replace(ALONE, shared=(*paid, *seen)))
        most = max((one.principals for one in paid), default=0)
        if any(one.is_clusters for one in paid):
            assert "it pays as an actor does" in words
            continue
        assert ("pays with" in words) is bool(paid), words
        assert ("which no other account uses" in words) is (most == 1), words
        assert (f"{most} accounts share" in words) is (most > 1), words
        assert ("exits of an actor's" in words) is any(one.is_clusters for one in seen), words


@pytest.mark.parametrize("ruling", ["confirm", "clear"])
@pytest.mark.parametrize("changes", [{}, {"exits": 4.0, "addresses": 4, "sole": 4, "busiest": 60}])
def test_a_ruling_comes_before_what_was_found(ruling: Any, changes: dict[str, Any]) -> None:
    """Hazard: an actor that an operator confirmed is still "not certain"."""
    found = group(**changes)
    words = describe(found, classify(found, SETTINGS), SETTINGS, ruling)
    assert words.startswith({"confirm": "Confirmed by the operator", "clear": "Cleared by"}[ruling])
    assert "Not certain" not in words
    assert ("By evidence alone it is likely:" in words) is bool(changes)
