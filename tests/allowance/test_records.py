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
ELSEWHERE, UNSETTLED_COUNTS = Standing.ELSEWHERE, Standing.UNSETTLED_COUNTS
USD = 1_000_000
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
        kind = source.randrange(7)
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
        elif kind < 6:
            paid = source.choice([-1, 0, 9_999, int(10 ** (source.random() * 15)), 200 * USD])
            flags = source.choice([0, 0, ELSEWHERE, UNSETTLED_COUNTS])
            real.see_paid(payer, paid, flags, now)
            reference.see_paid(payer, paid, flags, now)
        at = now + source.randrange(-5, 90) * DAY
        for each in (now, at):
            assert real.settled(payer, each) == reference.settled(payer, each), (payer, each)
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


def test_record_that_another_worker_changed_is_read_anew() -> None:
    shared = memory()
    one, other = (Records(shared, payers=1000, fingerprint=MARK) for _ in range(2))
    one.see(1, 1, 1, 0, NOW)
    assert one.best(1, NOW) == 0
    for used in (100, 2000):
        other.import_day(1, NOW // DAY - 40, used, NOW)
        assert one.best(1, NOW) == other.best(1, NOW) == floor_of(level_of(used))


def test_use_that_a_record_says_already_changes_nothing_and_more_does() -> None:
    found = grown()
    later = NOW + 40 * DAY
    for used in (100.0, 99.0, 1.0):
        found.note(1, used, NOW)
        assert found.best(1, later) == floor_of(level_of(100))
    for used in (101.0, 110.0, 5000.0):
        found.note(1, used, NOW)
        assert found.best(1, later) == floor_of(level_of(used))


def test_days_since_the_limiter_began_count_no_sooner_by_an_import() -> None:
    found = records()
    found.see(9, 9, 9, 0, NOW)
    found.import_day(9, (NOW + 3 * DAY) // DAY, 1000, NOW + 8 * DAY)
    assert not any(found.best(9, NOW + day * DAY) for day in range(40))
    assert found.best(9, NOW + 40 * DAY) > 0


# -- dollars that settle --------------------------------------------------------------------------


def settled_by_day(paid: dict[int, float | None], *, offset: int = 0, days: int = 120) -> list[float]:
    """Return what is settled on each day since a payer was first seen, by what it paid as of some days."""
    found, known = grown(), None
    settled = []
    for day in range(days):
        now = NOW + (offset + day) * DAY
        known = paid.get(day, known)
        found.see(7, 7, 7, 0, now)
        if known is not None:
            found.see_paid(7, int(known * USD), 0, now)
        settled.append(found.settled(7, now) / USD)
    return settled


def level_down(usd: float) -> float:
    return rounded(int(usd * 100)) / 100


OFFSETS = pytest.mark.parametrize("offset", range(10))
"""Where in its period a payer's first day lies."""


@OFFSETS
def test_dollars_of_a_steady_payer_are_settled_after_a_month(offset: int) -> None:
    settled = settled_by_day({0: 200}, offset=offset)
    assert settled[:30] == [0] * 30
    assert set(settled[30:]) == {level_down(200)}
    assert 200 / 2 ** (1 / 8) <= level_down(200) <= 200


@OFFSETS
def test_card_that_is_charged_back_after_three_weeks_never_has_settled_dollars(offset: int) -> None:
    assert not any(settled_by_day({0: 500, 21: 0}, offset=offset))


@OFFSETS
def test_sleeper_that_pays_a_dollar_and_then_much_has_a_dollar_settled(offset: int) -> None:
    settled = settled_by_day({0: 1, 31: 500}, offset=offset)
    assert set(settled[30:61]) == {level_down(1)}
    assert settled[71:] == [level_down(500)] * len(settled[71:])


@OFFSETS
def test_dollars_that_are_taken_back_count_no_more_at_once(offset: int) -> None:
    settled = settled_by_day({0: 200, 60: 50, 80: 0}, offset=offset)
    assert settled[59] == level_down(200)
    assert settled[60:80] == [level_down(50)] * 20
    assert settled[80:] == [0] * 40


def test_payer_of_whom_it_is_not_known_what_it_paid_has_nothing_settled() -> None:
    found = grown()
    for day in range(60):
        found.see(7, 7, 7, 0, NOW + day * DAY)
        found.see_paid(7, -1, 0, NOW + day * DAY)
    found.see_paid(7, 500 * USD, 0, NOW + 60 * DAY)
    assert found.settled(7, NOW + 60 * DAY) == found.settled(7, NOW + 89 * DAY) == 0
    assert found.settled(7, NOW + 90 * DAY) > 0


def test_payer_that_was_silent_keeps_what_was_settled_a_month_ago_and_no_longer() -> None:
    found = grown()
    found.see_paid(7, 200 * USD, 0, NOW)
    assert [day for day in range(100) if found.settled(7, NOW + day * DAY)] == list(range(30, 50))
    # A batch a month: settled with the second.
    for day in (30, 60, 90):
        found.see_paid(7, 200 * USD, 0, NOW + day * DAY)
        assert found.settled(7, NOW + day * DAY) == level_down(200) * USD


def test_cents_to_a_million_dollars_are_told_apart() -> None:
    found = grown()
    for number, usd in enumerate([0, 0.001, 0.01, 0.1, 1, 10, 999.99, 1e6, 1e8], 7):
        found.see_paid(number, int(usd * USD), 0, NOW)
        settled = found.settled(number, NOW + 30 * DAY) / USD
        assert settled == min(level_down(usd), FLOORS[254] / 100)
        assert usd < 0.01 or usd > 1e7 or usd / 2 ** (1 / 8) - 0.01 < settled <= usd


def test_new_installation_takes_older_accounts_dollars_as_settled_from_then_on() -> None:
    """Hazard: customers of years that are held to what a new payer has, until the limiter is 40 days old."""
    found = records()
    found.see(1, 1, 1, 0, NOW)
    for day in range(60):
        now = NOW + day * DAY
        for payer, since, created in ((7, 25, NOW - 99 * DAY), (8, 25, 0), (9, 25, NOW + 20 * DAY)):
            if day >= since:
                flags = found.see(payer, payer, 0, created, now)
                found.see_paid(payer, 200 * USD, flags, now)
                assert flags == (UNSETTLED_COUNTS if day < 30 and payer != 9 else 0)
                is_known = found.settled(payer, now) > 0
                assert is_known == (payer != 9 or day >= 55), (payer, day)


# -- established accounts, and places -------------------------------------------------------------


def test_time_with_a_payer_establishes_no_account() -> None:
    """Hazard: an account bought of a reseller that asks once, waits, and has all that the reseller has."""
    found = grown()
    found.see(7, 1, 100, 0, NOW - 31 * DAY)
    for day in range(0, 400, 20):
        assert found.see(7, 1, 100, 0, NOW + day * DAY) == 0
        assert found.see(7, 2, 200, NOW - 999 * DAY, NOW + day * DAY) == ELSEWHERE


def test_account_of_a_payers_first_month_is_established_everywhere() -> None:
    found = grown()
    asked = [(found.see(7, day, day, 0, NOW + day * DAY), day) for day in range(1, 41)]
    # The payer's first day is that of its first account here.
    assert [day for flags, day in asked if flags == ELSEWHERE] == list(range(31, 41))
    for day in range(1, 41):
        assert found.see(7, day, 999 + day, 0, NOW + 50 * DAY) == (ELSEWHERE if day > 30 else 0)


def test_account_at_a_place_of_its_payer_is_established_and_brings_its_own_places() -> None:
    found = grown()
    found.see(7, 1, 100, 0, NOW - 31 * DAY)
    assert found.see(7, 2, 200, 0, NOW) == ELSEWHERE
    assert found.see(7, 2, 0, 0, NOW) == ELSEWHERE
    # Hazard: newcomers that vouch for the next ones' place.
    assert found.see(7, 3, 200, 0, NOW) == ELSEWHERE
    # A place counts at once, and for this payer alone.
    assert found.see(7, 1, 200, 0, NOW) == 0
    assert found.see(7, 3, 200, 0, NOW) == 0
    assert found.see(7, 3, 300, 0, NOW) == 0
    assert found.see(7, 4, 300, 0, NOW) == 0
    found.see(8, 8, 400, 0, NOW - 31 * DAY)
    assert found.see(8, 9, 200, 0, NOW) == ELSEWHERE


def test_stranger_that_asks_before_its_payers_older_accounts_founds_nothing() -> None:
    """Hazard: on the first day of an installation, an account that was sold yesterday is first to ask."""
    found = records()
    sold, bought = NOW - DAY, NOW - 400 * DAY
    for day in range(3):  # until the payer's older accounts ask, nothing is known of them
        assert found.see(7, 2, 200, sold, NOW + day * DAY) == 0
    assert found.see(7, 1, 100, bought, NOW + 3 * DAY) == UNSETTLED_COUNTS
    for day in (3, 29, 31, 90):
        assert found.see(7, 2, 200, sold, NOW + day * DAY) == ELSEWHERE
        assert found.see(7, 3, 200, sold, NOW + day * DAY) == ELSEWHERE  # nor is its address a place
        assert not found.see(7, 1, 100, bought, NOW + day * DAY) & ELSEWHERE
        assert not found.see(7, 4, 100, sold, NOW + day * DAY) & ELSEWHERE


def test_founders_stay_when_their_first_month_is_over() -> None:
    """Hazard of the other side: a school of the first day is strangers from its second month on."""
    found = records()
    for day in range(0, 120, 7):
        for account in range(1, 9):
            asked = found.see(7, account, 100 + account, NOW - DAY, NOW + day * DAY)
            assert not asked & ELSEWHERE, (day, account)
    assert found.see(7, 99, 104, NOW, NOW + 120 * DAY) == 0


def test_public_address_is_no_place() -> None:
    found = grown()
    found.see(7, 1, 0, 0, NOW - 31 * DAY)
    assert found.see(7, 2, 0, 0, NOW) == ELSEWHERE


def test_new_installation_goes_by_when_accounts_were_created() -> None:
    found = records()
    assert found.see(7, 1, 100, NOW - 40 * DAY, NOW) == UNSETTLED_COUNTS
    assert found.see(7, 2, 200, NOW - 4 * DAY, NOW) == ELSEWHERE
    assert found.see(7, 3, 200, 0, NOW) == UNSETTLED_COUNTS
    assert found.see(8, 8, 300, NOW - 4 * DAY, NOW) == 0  # a founder of its payer
    # One that was opened just before the limiter does not grow into it.
    assert found.see(7, 5, 250, NOW - 4 * DAY, NOW + 28 * DAY) == ELSEWHERE
    # What was seen so is remembered when the records are older, and age opens nothing then.
    later = NOW + 30 * DAY
    assert (
        found.see(7, 1, 900, 0, later)
        == found.see(7, 3, 901, 0, later)
        == found.see(8, 8, 902, 0, later)
        == 0
    )
    assert found.see(7, 4, 903, NOW - 99 * DAY, later) == ELSEWHERE
    assert found.see(8, 9, 904, 0, later) == ELSEWHERE


def test_payer_without_accounts_has_none_elsewhere() -> None:
    found = grown()
    assert [found.see(7, 0, 100, 0, NOW + day * DAY) for day in (0, 29, 30, 99)] == [0, 0, 0, 0]


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
    assert {found.see(payer, 5, 0, 0, NOW) for payer in established} == {ELSEWHERE}
    assert evicted > 8 * room
    assert displaced == 0
    assert refused < evicted / 100  # a bucket in thousands has established ones alone
    assert found.counts[0] <= room
    # What was evicted is new again, and its best day is none.
    assert found.see(1 << 40, 1, 1, 0, NOW + 29 * DAY) == 0
    assert found.best(1 << 40, NOW + 45 * DAY) == 0


def test_flood_of_one_payers_accounts_evicts_no_established_account() -> None:
    found = grown()
    room = found.slots[1]
    accounts = range(1, room // 8)
    for account in accounts:
        found.see(7, account, account, 0, NOW - 31 * DAY)  # two pairs each: itself and its place
    for account in accounts:
        found.see(7, account, account, 0, NOW)
    see = found.see
    for account in range(1 << 40, (1 << 40) + 3 * room):
        see(8, account, account, 0, NOW)
    assert not any(found.see(7, account, 0, 0, NOW) for account in accounts)
    assert not any(found.see(7, 1 << 50, account, 0, NOW) for account in accounts)
    assert found.counts[3] == 0


def test_addresses_of_a_phone_that_roams_evict_no_place_that_is_returned_to() -> None:
    """Hazard: a hundred thousand places of one account, each of one day, that push out offices."""
    found = grown()
    places = range(1, 2000)
    for day in (-31, 0):
        for place in places:
            found.see(7, 1, place, 0, NOW + day * DAY)
    for address in range(1 << 40, (1 << 40) + 3 * found.slots[1]):
        found.see(7, 1, address, 0, NOW)
    assert not any(found.see(7, 1 << 50 | place, place, 0, NOW) for place in places)
    # They make room for each other, and none is refused for them.
    assert found.counts[2] > found.slots[1]
    assert found.counts[4] < 10


def test_flood_of_accounts_elsewhere_is_not_recorded() -> None:
    found = grown()
    found.see(7, 1, 1, 0, NOW - 31 * DAY)
    before = found.counts
    for account in range(2, 5000):
        assert found.see(7, account, account, 0, NOW) == ELSEWHERE
    assert found.counts == before


def test_payers_that_a_memory_is_made_for_are_kept() -> None:
    payers = 90_000
    found = records(payers)
    for payer in range(1, payers + 1):
        found.note(payer, 100, NOW)
    kept = sum(found.best(payer, NOW + 45 * DAY) > 0 for payer in range(1, payers + 1))
    assert kept > 0.99 * payers
    assert records_bytes(100_000) < 14.5e6


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
    assert [found.see(payer, 9, 6, 0, later + 30 * DAY) for payer in fresh] == [ELSEWHERE] * 1000


# -- travel ---------------------------------------------------------------------------------------


def exported(found: Records) -> bytes:
    return b"".join(found.export(region, 0, found.slots[region]) for region in range(3))


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
        found.see_paid(key, number * USD, 0, NOW - number % 60 * DAY)
    items = exported(found)
    assert other.take_in(items, NOW) == len(items) // RECORD_BYTES
    since, own = found.days
    other.born(since, own)
    assert apart(items) == apart(exported(other))
    for number, key in enumerate(keys):
        asked = (key, keys[number // 2], keys[number // 3], 0, NOW)
        assert found.best(key, NOW) == other.best(key, NOW)
        assert found.settled(key, NOW) == other.settled(key, NOW)
        assert found.see(*asked) == other.see(*asked)


def test_records_are_joined_whatever_comes_first() -> None:
    one, two = records(), records()
    for found, used in ((one, 500), (two, 900)):
        found.see(7, 1, 100 + used, 0, NOW - used % 7 * DAY)
        found.note(7, used, NOW)
        found.note(7, 1400 - used, NOW + 10 * DAY)
        found.see_paid(7, used * USD, 0, NOW)
        found.see_paid(7, (1400 - used) * USD, 0, NOW + 10 * DAY)
    two.see_paid(7, 600 * USD, 0, NOW + 20 * DAY)
    before = exported(one)
    one.take_in(exported(two), NOW)
    two.take_in(before, NOW)
    assert exported(one) == exported(two)
    assert one.best(7, NOW + 45 * DAY) == rounded(900)
    # The lower known value of each period: what is not known lowers nothing.
    assert [one.settled(7, NOW + day * DAY) for day in (30, 50, 59)] == [
        int(level_down(usd) * USD) for usd in (500, 600, 600)
    ]
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
    assert running.see(7, 2, 200, start - 99 * DAY, start) == ELSEWHERE  # the log would have had it
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
    found.see_paid(7, 50 * USD, 0, NOW)
    found.see(7, 1, 100, NOW - 45 * DAY, NOW + DAY)
    found.see_paid(7, 40 * USD, 0, NOW + DAY)
    position, items, is_lost = found.changed(0, 100)
    assert not is_lost
    other.take_in(items, NOW)
    assert exported(other) == exported(found)
    found.note(7, 400, NOW)
    found.see(7, 1, 100, 0, NOW + 2 * DAY)
    found.see_paid(7, 60 * USD, 0, NOW + DAY)
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
    assert len(found.changed(position, 100)[1]) == 3 * RECORD_BYTES  # the payer, its account and its place


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
    found.see_paid(7, 500 * USD, 0, NOW - 45 * DAY)
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
    assert found.see(7, 5, 0, 0, NOW) == 0
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
        found.see_paid(payer, source.randrange(-(1 << 63), 1 << 63), 0, now)
        found.settled(payer, now)
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
    found.see_paid(7, 1, 0, NOW)
    assert (found.see(7, 1, 1, 0, NOW), found.best(1, NOW), found.settled(1, NOW)) == (0, 0.0, 0)
    with pytest.raises(ValueError, match="closed"):
        found.damage()
    with pytest.raises(TypeError):
        found.__reduce__()
