"""Sightings counted together: what is packed is what a cluster_index notes, to the last one."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratelimit.core.sharing.assignments import PAIR_BYTES, Assignments
from ratelimit.core.sharing.bundle import BUNDLE_RECORD_BYTES, Bundle, sightings_in, unpack
from ratelimit.core.sharing.ring import Ring
from tests.support.boards import COLUMNS, board, correlator, row
from tests.support.rule import EPOCH

SECOND = 10**9
NOW_S = EPOCH // SECOND


def packed(*seen: tuple[int, bool, int], room: int = 64) -> bytes:
    """Return sightings (account, whether it was let in free, seconds later) as they travel."""
    ring, bundle = Ring(board(sightings=1024), COLUMNS), Bundle(room)
    for account, free, later_s in seen:
        assert ring.put(row(account), EPOCH + later_s * SECOND, free)
    assert bundle.drain(ring, 10_000, EPOCH) == len(seen)
    return bundle.pack()


def test_equal_sightings_travel_as_one() -> None:
    ring, bundle = Ring(board(sightings=64), COLUMNS), Bundle(8)
    for _ in range(20):
        ring.put(row(1), EPOCH)
    ring.put(row(1), EPOCH)
    ring.put(row(1, network=5), EPOCH)
    ring.put(row(1), EPOCH + SECOND)
    assert bundle.drain(ring, 100, EPOCH) == 23
    assert (bundle.held, bundle.sightings) == (3, 23)
    records = bundle.pack()
    assert sightings_in(records) == 23
    assert len(records) <= 3 * BUNDLE_RECORD_BYTES
    assert (bundle.held, bundle.sightings, bundle.pack()) == (0, 0, b"")


def test_full_bundle_leaves_the_rest_in_the_ring() -> None:
    shared = board(sightings=64)
    ring, bundle = Ring(shared, COLUMNS), Bundle(4)
    for number in range(10):
        ring.put(row(number + 1), EPOCH)
    assert bundle.drain(ring, 100, EPOCH) == 4
    assert bundle.is_full
    assert shared.stats()["waiting"] == 6
    bundle.pack()
    assert bundle.drain(ring, 3, EPOCH) == 3
    assert shared.stats()["taken"] == 7


@given(st.lists(st.tuples(st.integers(1, 5), st.booleans(), st.integers(0, 3)), max_size=60))
def test_index_that_notes_what_travelled_knows_what_one_on_the_spot_would(
    seen: list[tuple[int, bool, int]],
) -> None:
    # Within a second order is lost, and time does not run backwards on a host.
    seen.sort(key=lambda each: (each[2], each[0]))
    there, here = correlator(), correlator()
    for account, free, later_s in seen:
        here.observe(row(account), EPOCH + later_s * SECOND)
        if free:
            here.core.admit(row(account))
    assert unpack(packed(*seen), there.core, NOW_S + 10) == len(seen)
    assert there.evidence.principal_count == here.evidence.principal_count
    assert there.evidence.identifier_count == here.evidence.identifier_count
    assert there.evidence.new_edges == here.evidence.new_edges
    for account in {each[0] for each in seen}:
        key = COLUMNS.key_of(row(account))
        assert key is not None
        assert there.explain(key) == here.explain(key)


def test_clock_that_is_ahead_counts_as_now() -> None:
    subject = correlator()
    unpack(packed((1, False, 10**6)), subject.core, NOW_S + 5)
    assert subject.now_ns // SECOND == NOW_S + 5


def test_no_bytes_can_do_harm() -> None:
    source = random.Random(5)
    good = packed(*((n % 7 + 1, n % 3 == 0, n % 2) for n in range(40)))
    for _ in range(2000):
        bad = bytearray(good[: source.randrange(len(good) + 1)])
        for _ in range(source.randrange(4)):
            if bad:
                bad[source.randrange(len(bad))] = source.randrange(256)
        subject = correlator()
        try:
            noted = unpack(bytes(bad), subject.core, NOW_S)
        except ValueError:
            assert subject.evidence.principal_count == 0  # all or nothing
        else:
            assert noted == sightings_in(bytes(bad))


@pytest.mark.parametrize("room", [0, -1, 32769])
def test_room_has_bounds(room: int) -> None:
    with pytest.raises(ValueError, match="room"):
        Bundle(room)


def test_bundle_never_initialised_says_so() -> None:
    with pytest.raises(ValueError, match="never initialised"):
        Bundle.__new__(Bundle).pack()


# -- assignments on their way ----------------------------------------------------------------------


def writer(**sizes: int) -> Assignments:
    shared = board(**sizes)
    made = Assignments(shared, COLUMNS)
    made.write(shared.claim(shared.term, 1, EPOCH))
    return made


def test_changes_told_to_another_board_make_it_equal() -> None:
    source = random.Random(2)
    here, there = writer(principals=200), writer(principals=200)
    here.record(10_000)
    for round_ in range(20):
        for _ in range(30):
            here.assign(source.randrange(1, 150), source.choice((-1, 5, 6, 7)))
        if round_ % 4 == 3:
            here.begin()
            for key in range(1, 150):
                if source.random() < 0.5:
                    here.stage(key, source.choice((5, 6, 8)))
            here.commit()
        there.enter(here.take_changes())
        assert [there.of_key(key) for key in range(1, 150)] == [here.of_key(key) for key in range(1, 150)]


def test_whole_table_told_to_another_board_makes_it_equal() -> None:
    here, there = writer(principals=200), writer(principals=200)
    for key in range(1, 100):
        here.assign(key, key * 7)
    here.assign(3, -1)
    there.assign(150, 9)
    pairs = here.export()
    assert len(pairs) == 98 * PAIR_BYTES
    assert there.begin()
    assert there.stage_all(pairs)
    assert there.of_key(5) == -1  # not in force yet
    assert there.commit()
    assert [there.of_key(key) for key in range(1, 160)] == [here.of_key(key) for key in range(1, 160)]


def test_identities_of_clusters_that_are_no_more_make_room() -> None:
    here, there = writer(), writer()
    here.record(10_000)
    for number in range(1, 1000):
        # One cluster after the other, each with the same three members.
        here.begin()
        for key in (1, 2, 3):
            here.stage(key, number)
        here.commit()
        there.enter(here.take_changes())
        assert {there.of_key(key) for key in (1, 2, 3)} == {number}
    assert there.board.stats()["overflowed"] == 0


def test_more_changes_than_there_is_room_for_are_told_of() -> None:
    here = writer()
    here.record(3)
    for key in range(1, 4):
        here.assign(key, 1)
    assert not here.overrun
    here.assign(4, 1)
    assert here.overrun
    assert len(here.take_changes()) == 3 * PAIR_BYTES
    assert not here.overrun


def test_those_who_left_make_room_when_it_is_made() -> None:
    there = writer(principals=64)
    slots = there.board.stats()["slots"]
    for number in range(40):
        key = number + 1
        there.assign(key, 5)
        pairs = (key.to_bytes(8, "little") + b"\xff" * 8) if number % 2 else b""
        assert there.enter(pairs) == number % 2
    there.assign(1000, 6)
    assert there.board.stats()["assigned"] == 41 < slots
    assert there.compact()
    assert there.board.stats()["assigned"] == 21
    assert there.of_key(1000) == 6
    assert [there.of_key(key) for key in (1, 2, 3)] == [5, -1, 5]


def test_who_is_not_the_writer_any_more_enters_nothing() -> None:
    there = writer()
    there.board.claim(there.board.term, 2, EPOCH)
    pairs = (7).to_bytes(8, "little") + (5).to_bytes(8, "little")
    there.enter(pairs)
    assert there.of_key(7) == -1
    assert not there.stage_all(pairs)
    assert not there.compact()


@pytest.mark.parametrize("size", [1, 15, 17])
def test_part_of_a_pair_is_refused(size: int) -> None:
    there = writer()
    for call in (there.enter, there.stage_all):
        with pytest.raises(ValueError, match="whole number of pairs"):
            call(bytes(size))
