"""Laws: order does not matter, a little more or less does not matter, and nothing comes of nothing."""

from __future__ import annotations

import random
import statistics
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ratelimit.correlation import Correlator
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
    row,
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
            st.lists(st.one_of(st.just(ABSENT), st.integers(0, 40), st.integers(0, 2**64 - 2)), min_size=9, max_size=9),
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


# -- size and time ------------------------------------------------------------------------------------

PRINCIPALS, IDENTIFIERS = 100_000, 300_000
SLICE_NS = 2_000_000
MOST_BYTES = 32 << 20
SCRATCH_BYTES = 18 * IDENTIFIERS
"""What a rebuild takes beside, by identifier: counts, a forest, tops, support and agreement."""


@pytest.fixture(scope="module")
def full() -> Correlator:
    """A correlator as full as its defaults allow, with an actor of two thousand accounts in it."""
    one = correlator(principals=PRINCIPALS, identifiers=IDENTIFIERS, clusters=1024)
    observe = one.observe
    base, rng = START_S * NS, random.Random(3)
    for number in range(PRINCIPALS):
        seen = [ABSENT] * 9
        seen[0] = (number + 1) * 0x9E3779B97F4A7C15 % 2**63
        is_bad = number % 50 == 0
        for request in range(4 if is_bad else 2):
            drawn = rng.getrandbits(30)
            # Every third shares its places with many, others have a home and another place.
            own, shared = 10**6 + number * 2 + request, 1000 + drawn % 400
            place = drawn % 900 if is_bad else own if number % 3 else shared
            seen[1] = 1 << 48 | place
            seen[2] = 2 << 48 | place % 70_000
            seen[8] = 3 << 48 | place % 9000
            seen[3] = 4 << 48 | (number // 500 if is_bad else 10**6 + number)
            seen[4] = 5 << 48 | (7 if is_bad else 8 + drawn % 200)
            observe(seen, False, base + number * 40_000_000)
    return one


def longest_slice_ns(one: Correlator, now_s: int) -> tuple[int, int]:
    """Return how long the longest slice of a rebuild took, and all of them together."""
    slices = one.rebuild(now_s * NS)
    took: list[int] = []
    while True:
        began = time.perf_counter_ns()
        done = next(slices, True)
        took.append(time.perf_counter_ns() - began)
        if done:
            return max(took), sum(took)


def test_memory_is_within_its_aim() -> None:
    one = correlator(principals=PRINCIPALS, identifiers=IDENTIFIERS, clusters=1024)
    assert one.evidence.nbytes <= MOST_BYTES
    # With what a rebuild takes while it runs it is somewhat more than the aim.
    assert one.evidence.nbytes + SCRATCH_BYTES <= 36 << 20


def test_no_slice_holds_the_loop_for_long(full: Correlator) -> None:
    # The median of several rebuilds: what else the machine does makes single slices longer, never shorter.
    assert full.evidence.principal_count == PRINCIPALS
    assert full.evidence.identifier_count > 0.9 * IDENTIFIERS
    now_s = START_S + PRINCIPALS // 25
    measured = [longest_slice_ns(full, now_s + number) for number in range(5)]
    longest, whole = (statistics.median(column) for column in zip(*measured, strict=True))
    print(f"longest slice {longest / 1e6:.2f} ms, rebuild {whole / 1e9:.2f} s", [len(one) for one in clusters(full)])
    assert longest <= SLICE_NS
