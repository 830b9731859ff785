"""Statistics of a group, and the verdict on it: both sides of every number, a row each."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import fields

from ratelimit.correlation.classification import DECLARED, Classification, Statistics, Verdict, classify
from ratelimit.correlation.settings import Settings

SETTINGS = Settings()
NONE, LIKELY, CERTAIN = Verdict

CAMPAIGN: dict[str, Any] = {
    "accounts": 1000,
    "methods": 40,
    "loners": 0,
    "homed": 0.0,
    "seen": 1000,
    "fresh": 1.0,
    "old": 0.0,
    "settled": 0.0,
    "exits": 2000.0,
    "networks": 1000.0,
    "addresses": 2500,
    "capped": 2500,
    "sole": 2500,
    "exclusive": 1.0,
    "residential": 0.0,
    "busiest": 900,
    "rate": 5e4,
    "former": 0,
    "votes": 0,
}
"""Forty cards of a thousand new accounts, none at home, at two thousand exits of their own."""
RESIDENT = CAMPAIGN | {"settled": 1.0, "exits": 269.0}
"""The same with fewer exits than accounts, for two days."""
OFFICE = CAMPAIGN | {"exits": 5.0, "addresses": 6}
"""Many new accounts on many cards at a few addresses of their own."""
ONE_CARD = CAMPAIGN | {"methods": 1}
OLD_ONES = CAMPAIGN | {"fresh": 0.0, "old": 1.0}
ROAMERS = CAMPAIGN | {"methods": 0, "loners": 1000}
"""A card each."""

ROWS = [
    # what it is, what is different, the verdict, and why
    (CAMPAIGN, {}, CERTAIN, "covert"),
    (CAMPAIGN, {"methods": 3}, CERTAIN, "covert"),
    (CAMPAIGN, {"methods": 2}, LIKELY, "covert"),
    (CAMPAIGN, {"accounts": 8, "seen": 8, "busiest": 8}, CERTAIN, "covert"),
    (CAMPAIGN, {"accounts": 7, "seen": 7, "busiest": 7}, NONE, "few"),
    (CAMPAIGN, {"loners": 400, "accounts": 408}, CERTAIN, "covert"),
    (CAMPAIGN, {"loners": 401, "accounts": 408}, LIKELY, "roaming newcomers"),
    (CAMPAIGN, {"loners": 8, "accounts": 16}, CERTAIN, "covert"),
    (CAMPAIGN, {"loners": 8, "accounts": 15}, NONE, "few"),
    (CAMPAIGN, {"exits": 256.0, "busiest": 853}, CERTAIN, "covert"),
    (CAMPAIGN, {"exits": 255.9, "busiest": 853}, LIKELY, "covert"),
    # Exits that lie together may be an organisation's: it takes more of them.
    (CAMPAIGN, {"exits": 300.0, "networks": 64.0}, CERTAIN, "covert"),
    (CAMPAIGN, {"exits": 300.0, "networks": 63.9}, LIKELY, "covert"),
    (CAMPAIGN, {"exits": 384.0, "networks": 12.0}, CERTAIN, "covert"),
    (CAMPAIGN, {"exits": 383.9, "networks": 12.0}, LIKELY, "covert"),
    # Of an IPv6 prefix no more exits count than a network of IPv4 has.
    (CAMPAIGN, {"networks": 1.0, "capped": 480}, CERTAIN, "covert"),
    (CAMPAIGN, {"networks": 1.0, "capped": 479}, LIKELY, "covert"),
    # Exits that others use as well are a service's, unless people live around them.
    (CAMPAIGN, {"sole": 1667}, CERTAIN, "covert"),
    (CAMPAIGN, {"sole": 1666}, LIKELY, "covert"),
    (CAMPAIGN, {"sole": 0, "residential": 0.5}, CERTAIN, "covert"),
    (CAMPAIGN, {"sole": 0, "residential": 0.49}, LIKELY, "covert"),
    (CAMPAIGN, {"exclusive": 0.6}, CERTAIN, "covert"),
    (CAMPAIGN, {"exclusive": 0.59}, LIKELY, "covert"),
    (CAMPAIGN, {"exclusive": 0.25}, LIKELY, "covert"),
    (CAMPAIGN, {"exclusive": 0.24}, NONE, "anybody's exits"),
    (CAMPAIGN, {"homed": 0.05}, CERTAIN, "covert"),
    (CAMPAIGN, {"homed": 0.051}, LIKELY, "new and together"),
    (CAMPAIGN, {"homed": 0.3}, LIKELY, "new and together"),
    (CAMPAIGN, {"homed": 0.31}, NONE, "people"),
    (CAMPAIGN, {"seen": 64}, CERTAIN, "covert"),
    (CAMPAIGN, {"seen": 63}, LIKELY, "covert"),
    (CAMPAIGN, {"accounts": 100, "busiest": 90, "seen": 50}, CERTAIN, "covert"),
    (CAMPAIGN, {"accounts": 100, "busiest": 90, "seen": 49}, LIKELY, "covert"),
    (CAMPAIGN, {"fresh": 0.67}, CERTAIN, "covert"),
    (CAMPAIGN, {"fresh": 0.66}, LIKELY, "covert"),
    (CAMPAIGN, {"exits": 270.0}, CERTAIN, "covert"),
    (CAMPAIGN, {"exits": 269.0}, LIKELY, "new and together"),
    (RESIDENT, {}, CERTAIN, "homeless"),
    (RESIDENT, {"settled": 0.5}, CERTAIN, "homeless"),
    (RESIDENT, {"settled": 0.49}, LIKELY, "new and together"),
    (RESIDENT, {"homed": 0.06}, LIKELY, "new and together"),
    (OFFICE, {}, LIKELY, "new and together"),
    # Nothing but its age speaks against it: so it is as new as a certain actor, its exits as much its own.
    (OFFICE, {"fresh": 0.67}, LIKELY, "new and together"),
    (OFFICE, {"fresh": 0.66}, NONE, "overt"),
    (OFFICE, {"exclusive": 0.6}, LIKELY, "new and together"),
    (OFFICE, {"exclusive": 0.59}, NONE, "overt"),
    (OFFICE, {"methods": 2}, NONE, "overt"),
    (
        OFFICE,
        {"busiest": 3, "methods": 2},
        NONE,
        "overt",
    ),  # few exits say nothing of how many there are for each
    (OFFICE, {"busiest": 3, "methods": 2, "exits": 8.0}, LIKELY, "covert"),
    (ONE_CARD, {}, LIKELY, "covert"),
    (ONE_CARD, {"exits": 50.0}, NONE, "overt"),
    (OLD_ONES, {}, LIKELY, "covert"),
    (OLD_ONES, {"exits": 255.0, "busiest": 100}, NONE, "overt"),
    (OLD_ONES, {"homed": 0.06}, NONE, "overt"),
    (OLD_ONES, {"sole": 1666}, NONE, "overt"),
    (OLD_ONES, {"sole": 0, "residential": 0.5}, LIKELY, "covert"),
    (OLD_ONES, {"networks": 1.0, "capped": 256}, NONE, "overt"),
    (OLD_ONES, {"sole": 0, "old": 0.49}, LIKELY, "covert"),
    # An established payment method is one payer, however many exits it has.
    (OLD_ONES, {"methods": 2}, LIKELY, "covert"),
    (OLD_ONES, {"methods": 1}, NONE, "overt"),
    (OLD_ONES, {"methods": 1, "old": 0.49}, LIKELY, "covert"),
    (ROAMERS, {}, LIKELY, "roaming newcomers"),
    (ROAMERS, {"loners": 30, "accounts": 30}, LIKELY, "roaming newcomers"),
    (ROAMERS, {"loners": 29, "accounts": 29}, NONE, "few"),
    (ROAMERS, {"loners": 500}, LIKELY, "one program"),
    (ROAMERS, {"homed": 0.31}, NONE, "people"),
]


def statistics(what: dict[str, Any], different: dict[str, Any]) -> Statistics:
    return what | different  # type: ignore[return-value]


@pytest.mark.parametrize(("what", "different", "verdict", "why"), ROWS)
def test_both_sides_of_each_bound(
    what: dict[str, Any], different: dict[str, Any], verdict: Verdict, why: str
) -> None:
    classification = classify(statistics(what, different), SETTINGS)
    assert (classification.verdict, classification.why) == (verdict, why)


@pytest.mark.parametrize(
    ("setting", "values", "group"),
    [
        ("methods", (40, 41), {}),
        ("accounts", (1000, 1001), {}),
        ("exits", (2000.0, 2000.1), {}),
        ("exclusive", (0.9, 0.91), {"exclusive": 0.9}),
        ("homed", (0.02, 0.01), {"homed": 0.02}),
        ("covert", (0.5, 0.51), {"exits": 450.0}),
    ],
)
def test_each_number_of_the_policys_moves_its_bound(
    setting: str, values: tuple[float, float], group: dict[str, Any]
) -> None:
    said = [classify(statistics(CAMPAIGN, group), Settings(**{setting: value})).verdict for value in values]  # type: ignore[arg-type]
    assert said[0] is CERTAIN
    assert said[1] is not CERTAIN


LESS = {
    "methods": (2.5, 2.3),
    "accounts": (7, 6),
    "exits": (205.0, 204.0),
    "exclusive": (0.48, 0.47),
    "capped": (386, 383),
    "sole": (1334, 1333),
    "residential": (0.4, 0.39),
    "homed": (0.0625, 0.063),
    "fresh": (0.54, 0.53),
}


@pytest.mark.parametrize("name", LESS)
def test_a_certain_actor_stays_one_with_a_fifth_less(name: str) -> None:
    kept, lost = LESS[name]
    others = {
        "exits": {"busiest": 500},
        "accounts": {"seen": 6},
        "capped": {"networks": 1.0},
        "residential": {"sole": 0},
    }
    other = others.get(name, {})
    first, second = (statistics(CAMPAIGN, {name: value, **other}) for value in (kept, lost))
    assert classify(first, SETTINGS, CERTAIN).verdict is CERTAIN
    assert classify(second, SETTINGS, CERTAIN).verdict is not CERTAIN
    for former in (NONE, LIKELY):
        assert classify(first, SETTINGS, former).verdict is not CERTAIN


def test_a_certain_actor_is_no_organisation_once_it_opens_accounts() -> None:
    grown = CAMPAIGN | {"accounts": 20_000, "seen": 1000, "busiest": 9_600, "exits": 1200.0}
    assert classify(statistics(grown, {}), SETTINGS, CERTAIN) == Classification(CERTAIN, "churning")
    for former in (NONE, LIKELY):
        assert classify(statistics(grown, {}), SETTINGS, former).verdict is LIKELY
    # What speaks against an actor counts as before.
    for different in ({"homed": 0.5}, {"exclusive": 0.4}, {"fresh": 0.5}, {"exits": 100.0}):
        assert classify(statistics(grown, different), SETTINGS, CERTAIN).verdict is not CERTAIN


@pytest.mark.parametrize(
    ("what", "different"),
    [
        (ROAMERS, {"loners": 24, "accounts": 24}),
        (OFFICE, {"exclusive": 0.5}),
        (OFFICE, {"homed": 0.37}),
        (CAMPAIGN, {"exclusive": 0.2}),
        (CAMPAIGN, {"accounts": 7, "seen": 3, "busiest": 7}),
        (ONE_CARD, {"exits": 240.0}),
    ],
)
def test_a_likely_actor_stays_one_with_a_fifth_less(what: dict[str, Any], different: dict[str, Any]) -> None:
    assert classify(statistics(what, different), SETTINGS).verdict is NONE
    assert classify(statistics(what, different), SETTINGS, LIKELY).verdict is LIKELY
    assert classify(statistics(what, different), SETTINGS, CERTAIN).verdict is not NONE


@pytest.mark.parametrize("former", [NONE, LIKELY])
def test_half_of_a_young_organisation_is_new_and_stays_so(former: Verdict) -> None:
    # By chance it was taken for new in its first hours. Its age is no noise: there is nothing to ride out.
    for what, old in ((OFFICE, 0.4), (ONE_CARD, 0.5)):
        assert classify(statistics(what, {"fresh": 0.6, "old": old}), SETTINGS, former).verdict is NONE


@given(
    st.sampled_from([CAMPAIGN, RESIDENT, OFFICE, ONE_CARD, OLD_ONES, ROAMERS]),
    st.sampled_from(sorted(Verdict)),
    st.dictionaries(st.sampled_from(["rate", "former", "votes"]), st.floats(0, 1e6)),
)
def test_what_is_free_is_not_looked_at(
    what: dict[str, Any], former: Verdict, different: dict[str, Any]
) -> None:
    assert classify(statistics(what, different), SETTINGS, former) == classify(
        statistics(what, {}), SETTINGS, former
    )


WORSE = {
    "exits": 1.3,
    "networks": 1.3,
    "exclusive": 1.3,
    "residential": 1.3,
    "capped": 1.3,
    "sole": 1.3,
    "methods": 2,
    "homed": 0.5,
}
"""More of it (of homes: less) never helps an actor."""


@given(
    st.fixed_dictionaries(
        {
            "accounts": st.integers(1, 200),
            "methods": st.integers(0, 10),
            "homed": st.floats(0, 1),
            "fresh": st.floats(0, 1),
            "settled": st.floats(0, 1),
            "exits": st.floats(0, 600),
            "networks": st.floats(0, 100),
            "exclusive": st.floats(0, 1),
            "residential": st.floats(0, 1),
            "capped": st.integers(0, 2500),
            "sole": st.integers(0, 2500),
            "busiest": st.integers(0, 200),
        }
    ),
    st.sampled_from(sorted(WORSE)),
)
def test_more_evidence_never_makes_a_verdict_milder(different: dict[str, Any], name: str) -> None:
    group = statistics(CAMPAIGN, different | {"seen": different["accounts"]})
    worse = statistics(group, {name: group[name] * WORSE[name]})  # type: ignore[arg-type,literal-required]
    for former in Verdict:
        assert classify(worse, SETTINGS, former).verdict >= classify(group, SETTINGS, former).verdict


def test_a_declared_actor_is_certain() -> None:
    assert DECLARED.verdict is CERTAIN


def test_there_are_twenty_numbers_at_most() -> None:
    assert len(fields(Settings)) <= 20
