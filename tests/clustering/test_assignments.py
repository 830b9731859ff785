"""Assignments of accounts as readers see them: whole tables, whole entries, one writer."""

from __future__ import annotations

import random
import threading
from math import isqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratelimit.core.sharing.assignments import Assignments
from ratelimit.core.sharing.board import Board
from ratelimit.core.sharing.observer import Watch
from tests.support.boards import COLUMNS, WIDTH, board, correlator, row
from tests.support.rule import EPOCH


def written(shared: Board, entries: dict[int, int]) -> Assignments:
    """Return a writer's assignments with these entries in force."""
    writer = Assignments(shared, COLUMNS)
    writer.write(shared.claim(shared.term, 1, EPOCH))
    for key, identity in entries.items():
        assert writer.assign(key, identity)
    return writer


def test_readers_find_what_was_assigned() -> None:
    shared = board()
    written(shared, {5: 77, 6: 78})
    reader = Assignments(shared, COLUMNS)
    assert [reader.cluster(row(account)) for account in (5, 6, 7)] == [77, 78, -1]
    assert [reader.of_key(key) for key in (5, 6, 7)] == [77, 78, -1]


def test_assigning_again_changes_the_entry() -> None:
    shared = board()
    writer = written(shared, {5: 77})
    writer.assign(5, 78)
    assert writer.of_key(5) == 78
    writer.assign(5, -1)
    assert writer.of_key(5) == -1
    assert shared.stats()["assigned"] == 1


def test_nobody_is_assigned_before_the_first_writer() -> None:
    shared = board()
    reader = Assignments(shared, COLUMNS)
    assert reader.cluster(row(1)) == -1
    assert not reader.assign(1, 5)
    assert not reader.begin()


def test_table_under_construction_is_not_seen() -> None:
    shared = board()
    writer = written(shared, {5: 77})
    assert writer.begin()
    reader = Assignments(shared, COLUMNS)
    assert reader.of_key(5) == 77
    assert writer.commit()
    assert reader.of_key(5) == -1
    assert shared.stats()["generation"] == 1


def test_writer_that_dies_in_the_midst_leaves_the_last_table() -> None:
    shared = board()
    dying = written(shared, {5: 77})
    dying.begin()
    dying.fill(correlator().core, 0, 10)
    heir = Assignments(shared, COLUMNS)
    heir.write(shared.claim(shared.term, 2, EPOCH))
    assert heir.of_key(5) == 77
    assert heir.begin()
    assert heir.commit()
    assert heir.of_key(5) == -1


def test_writer_that_was_replaced_writes_nothing() -> None:
    shared = board()
    old = written(shared, {5: 77})
    old.begin()
    assert shared.claim(shared.term, 2, EPOCH)
    assert not old.is_writer
    assert not old.assign(6, 78)
    assert not old.fill(correlator().core, 0, 10)
    assert not old.commit()
    assert not old.begin()
    assert (old.of_key(5), old.of_key(6), shared.stats()["generation"]) == (77, -1, 0)


def test_term_is_claimed_by_one() -> None:
    shared = board()
    assert [shared.claim(0, 1, EPOCH), shared.claim(0, 2, EPOCH), shared.claim(1, 3, EPOCH)] == [1, 0, 2]
    assert (shared.term, shared.writer) == (2, 3)


def test_entry_added_while_a_table_is_built_is_in_both() -> None:
    shared = board()
    writer = written(shared, {})
    writer.begin()
    writer.assign(5, 77)
    assert writer.of_key(5) == 77
    writer.commit()
    assert writer.of_key(5) == 77


def test_full_table_says_so_and_keeps_what_it_has() -> None:
    shared = board(principals=64)
    slots = shared.stats()["slots"]
    writer = written(shared, {key * 2**41 + key: key for key in range(1, slots + 10)})
    found = sum(writer.of_key(key * 2**41 + key) == key for key in range(1, slots + 10))
    assert found == shared.stats()["assigned"] == slots - 1
    assert shared.stats()["overflowed"] == 10
    assert writer.of_key(3) == -1


def test_keys_are_told_apart_by_48_bits() -> None:
    shared = board()
    writer = written(shared, {5: 77, 2**47 + 5: 78, 2**48: 79})
    assert [writer.of_key(key) for key in (5, 2**47 + 5, 2**48 + 5, 2**48, 2**49)] == [77, 78, 77, 79, 79]
    assert writer.of_key(6) == -1


@pytest.mark.parametrize("identity", [0, 1, 2**64 - 2])
def test_every_identity_can_be_assigned(identity: int) -> None:
    shared = board()
    writer = written(shared, {5: identity})
    assert writer.of_key(5) == identity
    assert writer.begin()
    assert writer.stage(5, identity)
    assert writer.commit()
    assert writer.of_key(5) == identity


def test_as_many_identities_as_confidence_allows_have_room() -> None:
    # 4096 clusters of as many members each, at the least confidence that there is: √n budgets each.
    principals = 100_000
    identities = isqrt(4096 * principals)
    shared = board(principals=principals)
    source = random.Random(7)
    names = [source.getrandbits(64) for _ in range(identities)]
    writer = written(shared, {})
    assert writer.begin()
    keys = [source.getrandbits(64) for _ in range(principals)]
    assert all(writer.stage(key, names[number % identities]) for number, key in enumerate(keys))
    assert writer.commit()
    assert all(writer.of_key(key) == names[number % identities] for number, key in enumerate(keys))
    assert shared.stats()["overflowed"] == 0


def test_too_many_identities_are_no_clusters_and_counted() -> None:
    shared = board(principals=64)
    writer = written(shared, {1: 1})
    for identity in range(1, 200):
        writer.assign(1, identity)
    found = writer.of_key(1)
    assert 64 <= found < 199
    assert shared.stats()["overflowed"] == 199 - found
    assert writer.compact()
    assert writer.of_key(1) == found
    assert writer.assign(1, 500)
    assert writer.of_key(1) == 500


def test_room_for_every_principal_however_keys_lie() -> None:
    shared = board(principals=2_000)
    spread = [(key * 0x9E3779B97F4A7C15) % 2**64 for key in range(1, 2_001)]
    writer = written(shared, dict.fromkeys(spread, 9))
    assert all(writer.of_key(key) == 9 for key in spread)
    assert shared.stats()["overflowed"] == 0


def test_closed_board_knows_nobody() -> None:
    shared = board()
    writer = written(shared, {5: 77})
    watch = Watch(shared, COLUMNS, WIDTH - 1)
    shared.close()
    assert writer.cluster(row(5)) == -1
    seen = row(5)
    watch.fill(seen)
    assert seen[-3:] == [-1, -1, -1]
    assert not watch.observe(seen, False, EPOCH)
    with pytest.raises(ValueError, match="closed"):
        writer.begin()


def test_watch_fills_the_actor_in() -> None:
    shared = board()
    writer = written(shared, {5: 77})
    assert writer.assign(7, 78, 1)
    watch = Watch(shared, COLUMNS, WIDTH - 1)
    certain, likely, stranger = row(5), row(7), row(6)
    stranger[-3:] = [12345] * 3
    for seen in (certain, likely, stranger):
        watch.fill(seen)
    assert certain[-3:] == [77, -1, 77]
    assert likely[-3:] == [78, 78, -1]
    assert stranger[-3:] == [-1, -1, -1]
    assert watch.highest == WIDTH - 1


@pytest.mark.parametrize("at", [-1, 0, 1, 2])
def test_actor_has_four_places(at: int) -> None:
    with pytest.raises(ValueError, match="4 places"):
        Watch(board(), COLUMNS, at)


def test_readers_see_one_rebuild_or_the_next_and_never_a_mixture() -> None:
    # Each table in turn maps all keys to its own number: what is read only ever grows.
    shared = board(principals=256)
    writer = written(shared, dict.fromkeys(range(1, 200), 0))
    reader, ended = Assignments(shared, COLUMNS), threading.Event()
    faults: list[tuple[int, int]] = []

    def read() -> None:
        last = 0
        while not ended.is_set():
            for key in range(1, 200):
                found = reader.of_key(key)
                if found < last:
                    faults.append((last, found))
                last = found

    thread = threading.Thread(target=read)
    thread.start()
    for number in range(1, 300):
        assert writer.begin()
        for key in range(1, 200):
            assert writer.stage(key, number)
        assert writer.commit()
    ended.set()
    thread.join(30)
    assert not faults


def test_verdict_is_found_beside_the_cluster() -> None:
    shared = board()
    writer = written(shared, {5: 77})
    writer.assign(6, 77, 1)
    reader = Assignments(shared, COLUMNS)
    assert [(reader.of_key(key), reader.verdict(key)) for key in (5, 6, 7)] == [(77, 2), (77, 1), (-1, 0)]
    writer.assign(6, 77, 2)
    writer.assign(5, 77, 0)
    assert [(reader.of_key(key), reader.verdict(key)) for key in (5, 6)] == [(-1, 0), (77, 2)]
    assert shared.stats()["assigned"] == 2


KEYS = st.integers(1, 6)
STEPS = st.lists(st.tuples(KEYS, st.sampled_from([-1, 1, 77, 2**64 - 2]), st.integers(0, 2)), max_size=30)


@given(STEPS, STEPS)
def test_what_travels_is_what_was_assigned_to_the_verdict(
    entered: list[tuple[int, int, int]], staged: list[tuple[int, int, int]]
) -> None:
    here, there = written(board(), {}), written(board(), {})
    here.record(128)
    known: dict[int, tuple[int, int]] = {}
    for key, identity, verdict in entered:
        here.assign(key, identity, verdict)
        known[key] = (identity, verdict) if identity != -1 and verdict else (-1, 0)
    there.enter(here.take_changes())
    assert found(here) == found(there) == {key: known.get(key, (-1, 0)) for key in range(1, 7)}
    here.begin()
    known = {}
    for key, identity, verdict in staged:
        if identity != -1:
            here.stage(key, identity, verdict)
            known[key] = (identity, verdict) if verdict else (-1, 0)
    here.commit()
    there.enter(here.take_changes())
    assert found(here) == found(there) == {key: known.get(key, (-1, 0)) for key in range(1, 7)}
    late = written(board(), {})
    late.begin()
    assert late.stage_all(here.export())
    late.commit()
    assert late.compact()
    assert found(late) == found(here)


def found(one: Assignments) -> dict[int, tuple[int, int]]:
    return {key: (one.of_key(key), one.verdict(key)) for key in range(1, 7)}


@given(st.lists(st.binary(min_size=16, max_size=16), max_size=20))
def test_pairs_that_make_no_sense_assign_nobody(pairs: list[bytes]) -> None:
    one = written(board(), {})
    one.enter(b"".join(pairs))
    one.begin()
    one.stage_all(b"".join(pairs))
    one.commit()
    for pair in pairs:
        key, verdict, identity = pair[:6], pair[6:8], pair[8:]
        number = int.from_bytes(key, "little")
        is_sound = verdict in (b"\1\0", b"\2\0") and identity != b"\xff" * 8 and number
        assert (
            is_sound or any(other[:6] == key for other in pairs if other != pair) or one.of_key(number) == -1
        )
