"""Resolvers' answers: bounded in number and in time."""

from __future__ import annotations

from ratelimit.identity.remembered import Remembered

SECOND_NS = 1_000_000_000


def test_answer_is_used_until_its_time_and_not_a_nanosecond_longer() -> None:
    cache = Remembered(10, 60 * SECOND_NS)
    cache.put(1, {0: 7}, 1000)
    assert cache.get(1, 1000) == {0: 7}
    assert cache.get(1, 1000 + 60 * SECOND_NS - 1) == {0: 7}
    assert cache.get(1, 1000 + 60 * SECOND_NS) is None
    assert cache.get(2, 1000) is None


def test_clock_steps_back_does_not_keep_an_answer_for_ever() -> None:
    cache = Remembered(10, 60 * SECOND_NS)
    cache.put(1, {0: 7}, 3600 * SECOND_NS)
    assert cache.get(1, SECOND_NS) is None


def test_flood_of_keys_evicts_the_oldest_and_grows_nothing() -> None:
    cache = Remembered(100, 60 * SECOND_NS)
    for key in range(10_000):
        cache.put(key, {0: key}, key)
        cache.put(key, {0: key}, key)
        assert len(cache) <= 100
    assert cache.get(9_900, 10_000) == {0: 9_900}
    assert cache.get(9_899, 10_000) is None


def test_size_zero_keeps_nothing() -> None:
    cache = Remembered(0, 60 * SECOND_NS)
    cache.put(1, {0: 7}, 0)
    assert cache.get(1, 0) is None
