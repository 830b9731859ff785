"""Laws: order does not matter, a little more or less does not matter, and nothing comes of nothing."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from ratelimit.identity.fact import ABSENT
from tests.correlation.sights import (
    HOUR_S,
    NS,
    START_S,
    Sight,
    campaign,
    clusters,
    correlator,
    crowd,
    keys_of,
    mixed,
    rebuild,
    show,
    together,
)

TOLERANCE = 0.02
"""Part of an actor's accounts that may be in its cluster in one interleaving and not in another."""

BAD = keys_of({f"bad-{number}" for number in range(60)})
SIGHTS = mixed(honest=240, bad=60)
END_S = START_S + 6 * HOUR_S


def found_in(sights: list[Sight], *, rebuilds: bool = True) -> list[set[int]]:
    one = correlator()
    show(one, sights, rebuilds=rebuilds)
    rebuild(one, END_S)
    return clusters(one)


@settings(max_examples=10)
@given(st.integers(0, 2**32))
def test_merging_is_order_independent(seed: int) -> None:
    # All at one instant and judged once: whoever comes first makes no difference at all.
    sights = [Sight(END_S - 1, sight.account, sight.row) for sight in SIGHTS]
    expected = found_in(sights, rebuilds=False)
    random.Random(seed).shuffle(sights)
    assert found_in(sights, rebuilds=False) == expected == [BAD]


@settings(max_examples=10)
@given(st.integers(0, 2**32), st.sampled_from([1.0, 10.0, 60.0]))
def test_another_interleaving_gives_the_same_clusters(seed: int, within_s: float) -> None:
    rng = random.Random(seed)
    moved = [Sight(sight.at_s + rng.random() * within_s, sight.account, sight.row) for sight in SIGHTS]
    found = found_in(together(moved))
    assert len(found) == 1
    assert len(found[0] ^ BAD) <= TOLERANCE * len(BAD)


@settings(max_examples=8)
@given(st.integers(0, 2**32), st.integers(1, 4))
def test_actors_with_nothing_in_common_stay_apart(seed: int, actors: int) -> None:
    rng = random.Random(seed)
    names = ["a", "bb", "ccc", "dddd"][:actors]  # exits follow from the length of the name
    parts = [campaign(40, rng, name=name) for name in names]
    found = found_in(together(crowd(240, rng), *parts))
    expected = [keys_of({f"{name}-{number}" for number in range(40)}) for name in names]
    assert sorted(map(sorted, found)) == sorted(map(sorted, expected))


@settings(max_examples=8)
@given(st.integers(0, 2**32))
def test_people_alone_are_no_cluster(seed: int) -> None:
    assert found_in(crowd(300, random.Random(seed))) == []


@settings(max_examples=40)
@given(
    st.lists(
        st.tuples(
            st.lists(
                st.one_of(st.just(ABSENT), st.integers(0, 40), st.integers(0, 2**64 - 2)),
                min_size=9,
                max_size=9,
            ),
            st.booleans(),
            st.integers(-(2**40), 2**40),
            st.booleans(),
        ),
        max_size=80,
    )
)
def test_whatever_is_seen_nothing_breaks(steps: list[tuple[list[int], bool, int, bool]]) -> None:
    one = correlator(principals=16, identifiers=64, clusters=2)
    size = one.evidence.nbytes
    for identities, refused, off_s, rebuilds in steps:
        one.observe(identities, refused, (START_S + off_s) * NS)
        cluster = one.cluster(identities)
        assert cluster == ABSENT or cluster in one.identities.values()
        if rebuilds:
            rebuild(one, START_S + off_s)
    assert one.evidence.nbytes == size
    assert one.evidence.principal_count <= 16
    assert one.evidence.identifier_count <= 64
    assert len(one.kept) <= 2


def test_a_refused_request_is_evidence_like_any_other() -> None:
    # Else whoever is held back would fade from memory, and be let go.
    refused = [Sight(sight.at_s, sight.account, sight.row, refused=True) for sight in SIGHTS]
    assert found_in(refused) == found_in(SIGHTS) == [BAD]
