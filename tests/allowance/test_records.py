"""The records of payers: equal to their reference, and what each law is for."""

from __future__ import annotations

import mmap
import random
from typing import Any

import pytest

from ratelimit.allowance.records import (
    RECORD_BYTES,
    Records,
    Standing,
    floor_of,
    level_of,
    records_bytes,
)
from ratelimit.core.memory.hashing import Hasher
from ratelimit.errors import StoreError
from tests.allowance.reference.records import FLOORS, Reference, rounded
from tests.support.cores import KEY

DAY = 86_400
NOW = 20_000 * DAY
"""The first second of a period."""
YOUNG, NEWCOMER = Standing.YOUNG, Standing.NEWCOMER
MARK = b"hash key's mark."


def memory(payers: int = 1000) -> mmap.mmap:
    return mmap.mmap(-1, records_bytes(payers))


def records(payers: int = 1000, **changed: Any) -> Records:
    return Records(memory(payers), payers=payers, fingerprint=changed.get("fingerprint", MARK))


def grown() -> Records:
    """Return records that began 31 days ago."""
    found = records()
    found.see(1, 1, 1, 0, NOW - 31 * DAY)
    return found


# -- levels ---------------------------------------------------------------------------------------


def test_levels_are_eight_to_an_octave_and_never_say_more_than_was_used() -> None:
    assert [floor_of(level) for level in range(256)] == FLOORS
    assert [floor_of(1 + 8 * octave) for octave in range(32)] == [1 << octave for octave in range(32)]
    source = random.Random(1)
    for used in [
        *range(3000),
        *FLOORS,
        *(n - 1 for n in FLOORS),
        *(source.random() * 1e12 for _ in range(3000)),
    ]:
        floor = floor_of(level_of(used))
        assert floor == rounded(used) <= max(0, used)
        # Nor much less: an eighth of an octave, or the whole numbers next to each other.
        assert used < 1 or used > FLOORS[-1] or used < floor * 2 ** (1 / 8) + 1


@pytest.mark.parametrize("used", [0.0, -1.0, 0.999, float("nan"), float("-inf")])
def test_no_use_has_no_level(used: float) -> None:
    assert level_of(used) == 0


def test_more_than_there_are_levels_for_is_the_last_level() -> None:
    assert {level_of(used) for used in (1e10, 1e30, float("inf"))} == {255}
    for level in (-1, 256):
        with pytest.raises(ValueError, match="0 to 255"):
            floor_of(level)


# -- equal to the reference -----------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(30))
def test_any_calls_in_any_order_answer_as_the_reference(seed: int) -> None:
    source = random.Random(seed)
    hasher = Hasher(KEY)
    keys = [0, (1 << 64) - 1, *(hasher.identity(1, str(number)) for number in range(12))]
    real, reference = records(), Reference()
    now = NOW + source.randrange(20) * DAY
    for _ in range(1500):
        now += int(source.expovariate(1 / DAY))
        if source.random() < 0.02:
            now -= source.randrange(40 * DAY)  # hazard: a worker's clock, or a trace's order
        payer, account, network = source.choices(keys, k=3)
        kind = source.randrange(5)
        if kind < 2:
            created = source.choice([0, 0, -5, now + DAY, now - source.randrange(60 * DAY), 1])
            asked = (payer, account, network, created, now)
            assert real.see(*asked) == reference.see(*asked), asked
        elif kind == 2:
            used = source.choice([0.5, float("nan"), source.random() * 10 ** source.randrange(11)])
            real.note(payer, used, now)
            reference.note(payer, used, now)
        elif kind == 3:
            day = now // DAY - source.randrange(-3, 80)
            used = source.random() * 1e4
            real.import_day(payer, day, used, now)
            reference.import_day(payer, day, used, now)
        at = now + source.randrange(-5, 90) * DAY
        assert real.best(payer, at) == reference.best(payer, at), (payer, at)
    assert real.days == (reference.since, reference.own)
    assert real.damage() is None


# -- days that count ------------------------------------------------------------------------------


def counting_days(noted: int) -> list[int]:
    """Return the days after a day on which it counts."""
    found = records()
    found.see(9, 9, 9, 0, NOW - 100 * DAY)
    found.note(9, 5000, NOW + noted * DAY)
    return [day for day in range(100) if found.best(9, NOW + (noted + day) * DAY)]


def test_day_counts_after_30_days_and_is_forgotten_after_70() -> None:
    first_of_period, last_of_period = counting_days(0), counting_days(9)
    assert (first_of_period[0], first_of_period[-1]) == (40, 69)
    assert (last_of_period[0], last_of_period[-1]) == (31, 60)


def test_best_is_never_more_than_a_day_that_was() -> None:
    found = records()
    found.see(9, 9, 9, 0, NOW)
    for used in (100, 5000, 4999.9):
        found.note(9, used, NOW)
    assert 5000 / 2 ** (1 / 8) < found.best(9, NOW + 45 * DAY) <= 5000


def test_days_before_the_limiter_count_at_once_and_until_its_own_days_do() -> None:
    born = NOW + 5 * DAY
    found = records()
    found.see(9, 9, 9, 0, born)
    for day in range(1, 31):
        found.import_day(9, born // DAY - day, 1000, born)
    counts = [day for day in range(100) if found.best(9, born + day * DAY)]
    assert counts == list(range(55))  # the present period's days lie in the one before: forgotten with it
    found.note(9, 1000, born)
    assert all(found.best(9, born + day * DAY) for day in range(60))


def test_days_since_the_limiter_began_count_no_sooner_by_an_import() -> None:
    found = records()
    found.see(9, 9, 9, 0, NOW)
    found.import_day(9, (NOW + 3 * DAY) // DAY, 1000, NOW + 8 * DAY)
    assert not any(found.best(9, NOW + day * DAY) for day in range(40))
    assert found.best(9, NOW + 40 * DAY) > 0


# -- young and newcomers --------------------------------------------------------------------------


def test_payer_is_young_for_thirty_days() -> None:
    found = grown()
    assert [found.see(7, 7, 7, 0, NOW + day * DAY) for day in (0, 29, 30)] == [YOUNG, YOUNG, 0]


def test_age_of_an_account_opens_nothing_once_the_records_are_thirty_days_old() -> None:
    assert grown().see(7, 7, 7, NOW - 1000 * DAY, NOW) == YOUNG


def test_in_the_first_thirty_days_payers_count_from_when_their_accounts_were_created() -> None:
    found = records()
    assert found.see(7, 7, 7, NOW - 40 * DAY, NOW) == 0
    assert found.see(8, 8, 8, NOW - 4 * DAY, NOW) == YOUNG
    assert found.see(9, 9, 9, 0, NOW) == 0
    # What was seen so is remembered when the records are older.
    assert [found.see(payer, payer, payer, 0, NOW + 30 * DAY) for payer in (7, 8, 9)] == [0, 0, 0]
    assert found.see(8, 8, 8, 0, NOW + 31 * DAY) == 0


def test_newcomer_counts_where_an_established_account_was_and_nowhere_else() -> None:
    found = grown()
    found.see(7, 1, 100, 0, NOW - 31 * DAY)
    assert found.see(7, 1, 100, 0, NOW) == 0
    assert found.see(7, 2, 100, 0, NOW) == 0
    assert found.see(7, 2, 200, 0, NOW) == NEWCOMER
    assert found.see(7, 2, 0, 0, NOW) == NEWCOMER
    # Hazard: newcomers that vouch for the next ones' place.
    assert found.see(7, 3, 200, 0, NOW) == NEWCOMER
    # A place counts at once, and for this payer alone.
    assert found.see(7, 1, 200, 0, NOW) == 0
    assert found.see(7, 3, 200, 0, NOW) == 0
    found.see(8, 8, 300, 0, NOW - 31 * DAY)
    assert found.see(8, 9, 200, 0, NOW) == NEWCOMER
    assert found.see(7, 2, 300, 0, NOW + 30 * DAY) == 0


def test_payer_without_accounts_has_no_newcomers() -> None:
    found = grown()
    assert found.see(7, 0, 100, 0, NOW) == YOUNG
    assert found.see(7, 0, 100, 0, NOW + 30 * DAY) == 0


# -- bounds ---------------------------------------------------------------------------------------


def test_flood_of_ten_times_the_capacity_evicts_no_established_payer() -> None:
    """Hazard: fresh keys by the hundred thousand that push out those whose history counts."""
    found = records()
    room = found.slots[0]
    established = range(1, room // 4)
    began = NOW - 45 * DAY
    for payer in established:
        found.see(payer, 0, 0, 0, began)
        found.note(payer, 1 + payer % 4000, began)
    bests = [found.best(payer, NOW) for payer in established]
    assert all(bests)
    see, note = found.see, found.note
    for payer in range(1 << 40, (1 << 40) + 10 * room):
        see(payer, 0, 0, 0, NOW)
        if payer & 7 == 0:
            note(payer, 3, NOW)
    _, _, evicted, displaced, refused, _ = found.counts
    assert [found.best(payer, NOW) for payer in established] == bests
    assert not any(found.see(payer, 0, 0, 0, NOW) for payer in established)
    assert evicted > 8 * room
    assert displaced == 0
    assert refused < evicted / 100  # a bucket in thousands has established ones alone
    assert found.counts[0] <= room
    # What was evicted is young again, and its best day is none.
    assert found.see(1 << 40, 1, 1, 0, NOW) == YOUNG
    assert found.best(1 << 40, NOW + 45 * DAY) == 0


def test_flood_of_one_payers_accounts_evicts_no_established_account() -> None:
    found = records()
    room = found.slots[1]
    accounts = range(1, room // 8)
    for account in accounts:
        found.see(7, account, account, 0, NOW - 45 * DAY)  # two pairs each: itself and its place
    for account in accounts:
        found.see(7, account, account, 0, NOW)
    see = found.see
    for account in range(1 << 40, (1 << 40) + 3 * room):
        see(8, account, 5, 0, NOW)
    assert not any(found.see(7, account, 0, 0, NOW) for account in accounts)
    assert not any(found.see(7, 1 << 50, account, 0, NOW) for account in accounts)
    assert found.counts[3] == 0


def test_payers_that_a_memory_is_made_for_are_kept() -> None:
    payers = 90_000
    found = records(payers)
    for payer in range(1, payers + 1):
        found.note(payer, 100, NOW)
    kept = sum(found.best(payer, NOW + 45 * DAY) > 0 for payer in range(1, payers + 1))
    assert kept > 0.99 * payers
    assert records_bytes(100_000) < 12.1e6


def test_payers_silent_for_seventy_days_make_room() -> None:
    found = records()
    for payer in range(1, 2 * found.slots[0]):
        found.note(payer, 100, NOW)
    later = NOW + 90 * DAY
    before = found.counts
    fresh = range(1 << 40, (1 << 40) + 1000)
    for payer in fresh:
        found.see(payer, payer, 5, 0, later)
    assert found.counts[4] == before[4]
    assert [found.see(payer, payer, 5, 0, later + 30 * DAY) for payer in fresh] == [0] * 1000


# -- travel ---------------------------------------------------------------------------------------


def exported(found: Records) -> bytes:
    return b"".join(found.export(region, 0, found.slots[region]) for region in (0, 1))


def apart(items: bytes) -> list[bytes]:
    """Return exported records one by one, in one order."""
    return sorted(items[at : at + RECORD_BYTES] for at in range(0, len(items), RECORD_BYTES))


@pytest.mark.parametrize("payers", [1000, 200_000])
def test_records_travel_to_memory_of_another_size(payers: int) -> None:
    hasher = Hasher(KEY)
    found, other = records(), records(payers)
    keys = [hasher.identity(1, b"%d" % number) for number in range(5000)]
    for number, key in enumerate(keys):
        found.see(key, keys[number // 2], keys[number // 3], 0, NOW - number % 60 * DAY)
        found.note(key, number, NOW - number % 60 * DAY)
    items = exported(found)
    assert other.take_in(items, NOW) == len(items) // RECORD_BYTES
    since, own = found.days
    other.born(since, own)
    assert apart(items) == apart(exported(other))
    for number, key in enumerate(keys):
        asked = (key, keys[number // 2], keys[number // 3], 0, NOW)
        assert found.best(key, NOW) == other.best(key, NOW)
        assert found.see(*asked) == other.see(*asked)


def test_records_are_joined_whatever_comes_first() -> None:
    one, two = records(), records()
    for found, used in ((one, 500), (two, 900)):
        found.see(7, 1, 100 + used, 0, NOW - used % 7 * DAY)
        found.note(7, used, NOW)
        found.note(7, 1400 - used, NOW + 10 * DAY)
    before = exported(one)
    one.take_in(exported(two), NOW)
    two.take_in(before, NOW)
    assert exported(one) == exported(two)
    assert one.best(7, NOW + 45 * DAY) == rounded(900)
    one.take_in(exported(two), NOW)
    assert exported(one) == exported(two)


def test_records_of_a_log_before_the_limiter_count_at_once() -> None:
    log, running, later = records(), records(), records()
    for day in range(30):
        log.see(7, 1, 100, 0, NOW + day * DAY)
        log.note(7, 100 + day, NOW + day * DAY)
    start = NOW + 32 * DAY  # in the midst of the period after
    since, _ = log.days
    running.take_in(exported(log), start, until=since + 29)
    running.born(since, None)
    assert running.best(7, start) == rounded(129)
    assert running.see(7, 1, 100, 0, start) == 0
    assert running.see(8, 8, 100, start - 99 * DAY, start) == YOUNG  # the log would have had it
    # A log that ends in the limiter's time counts by its days.
    later.see(9, 9, 9, 0, NOW + 15 * DAY)
    later.take_in(exported(log), start, until=since + 29)
    assert later.best(7, start) == rounded(109)


def test_record_that_no_worker_can_have_written_is_left_out() -> None:
    found, source = records(), random.Random(3)
    noise = source.randbytes(RECORD_BYTES * 5000)
    assert found.take_in(noise, NOW) == 0
    with pytest.raises(ValueError, match="24 bytes"):
        found.take_in(noise[:-1], NOW)


def test_changes_are_told_until_they_are_overtaken() -> None:
    found, other = records(), records()
    found.see(7, 1, 100, NOW - 45 * DAY, NOW)
    found.note(7, 500, NOW)
    position, items, is_lost = found.changed(0, 100)
    assert not is_lost
    other.take_in(items, NOW)
    assert exported(other) == exported(found)
    found.note(7, 400, NOW)
    found.see(7, 1, 100, 0, NOW + DAY)
    assert found.changed(position, 100) == (position, b"", False)
    for number in range(100):
        found.see(1 + number, 5, 5, NOW - 45 * DAY, NOW)
    after, items, _ = found.changed(position, 10)
    assert len(items) == 10 * RECORD_BYTES
    assert found.changed(after, 10_000)[0] > after
    for number in range(10_000):
        found.see(1000 + number, 5, 5, NOW - 45 * DAY, NOW)
    assert found.changed(position, 10)[1:] == (b"", True)


def test_flood_of_fresh_keys_is_told_to_no_other_host() -> None:
    """Hazard: a server that three hundred thousand keys a day fill, each of them seen once."""
    found = grown()
    position, _, _ = found.changed(0, 100)
    for payer in range(1000, 11_000):
        found.see(payer, payer, 5, 0, NOW)
    assert found.changed(position, 100) == (position, b"", False)
    found.see(1000, 1000, 5, 0, NOW + 10 * DAY)
    assert len(found.changed(position, 100)[1]) == 2 * RECORD_BYTES  # the payer and its account


def test_what_came_from_elsewhere_is_not_told_back() -> None:
    found, other = records(), records()
    found.see(7, 1, 100, 0, NOW)
    other.take_in(exported(found), NOW)
    assert other.changed(0, 100) == (0, b"", False)
    other.take_in(exported(found), NOW, is_told=True)
    assert other.changed(0, 100) == (0, b"", False)  # nothing new in it


# -- memory ---------------------------------------------------------------------------------------


def test_memory_of_another_key_size_or_kind_is_refused() -> None:
    shared = memory()
    Records(shared, payers=1000, fingerprint=MARK).close()
    Records(shared, payers=1000, fingerprint=MARK).close()
    for error, changed in (
        ("table-damaged", {"fingerprint": bytes(16)}),
        ("table-size", {"payers": 200_000}),
    ):
        with pytest.raises(StoreError) as caught:
            Records(shared, **{"payers": 1000, "fingerprint": MARK, **changed})  # type: ignore[arg-type]
        assert caught.value.code == error
    shared[4096:] = bytes(len(shared) - 4096)
    shared[:8] = bytes(8)
    with pytest.raises(StoreError) as caught:
        Records(shared, payers=1000, fingerprint=MARK)
    assert caught.value.code == "table-foreign"
    for wrong in (0, 100_000_001):
        with pytest.raises(ValueError, match="payers"):
            records_bytes(wrong)


def test_any_changed_bit_makes_a_record_worth_nothing() -> None:
    """Hazard: a bit of a level that flips, and an allowance four billion times as large."""
    shared = memory()
    found = Records(shared, payers=1000, fingerprint=MARK)
    found.see(7, 0, 0, 0, NOW - 45 * DAY)
    found.note(7, 3000, NOW - 45 * DAY)
    start = 4096 + 4096 * 8
    at = next(at for at in range(start, len(shared), 16) if any(shared[at : at + 16]))
    right = shared[at : at + 16]
    for bit in range(128):
        changed = bytearray(right)
        changed[bit // 8] ^= 1 << bit % 8
        shared[at : at + 16] = bytes(changed)
        assert found.best(7, NOW) == 0, bit
        assert any(found.damage() for _ in range(16)), bit
    shared[at : at + 16] = right
    assert found.best(7, NOW) == rounded(3000)
    assert not any(found.damage() for _ in range(16))
    # A key whose record was damaged is recorded anew in its place: young, and with nothing to its name.
    shared[at] ^= 1
    assert found.see(7, 0, 0, 0, NOW) == YOUNG
    assert not any(found.damage() for _ in range(16))


@pytest.mark.parametrize("seed", range(5))
def test_any_bytes_are_survived(seed: int) -> None:
    shared, source = memory(), random.Random(seed)
    found = Records(shared, payers=1000, fingerprint=MARK)
    shared[:] = source.randbytes(len(shared))
    for _ in range(2000):
        payer, account, network = (source.randrange(1 << 64) for _ in range(3))
        now = source.choice([NOW, -(1 << 63), (1 << 63) - 1, source.randrange(1 << 40)])
        found.see(payer, account, network, source.randrange(-(1 << 63), 1 << 63), now)
        found.note(payer, source.random() * 1e30, now)
        found.best(payer, now)
        found.import_day(payer, source.randrange(-(1 << 63), 1 << 63), 5, now)
    found.changed(source.randrange(1 << 64), 100)
    exported(found)
    assert found.damage() == "its header was overwritten"


def test_closed_memory_answers_nothing() -> None:
    found = grown()
    found.close()
    found.close()
    assert found.closed
    found.note(7, 1, NOW)
    assert (found.see(7, 1, 1, 0, NOW), found.best(1, NOW)) == (0, 0.0)
    with pytest.raises(ValueError, match="closed"):
        found.damage()
    with pytest.raises(TypeError):
        found.__reduce__()
